import { readdirSync } from 'node:fs';
import type { Host } from '../host/host';
import type { UsrMask } from '../host/usr-masks';
import { executeRights, type PathRule, useRights, writeRights } from './landlock-rights';
import { homeFolder } from './root/home';
import { isWritableMount } from './root/pins';
import type { Spec } from './spec';

/** The rules that follow from a sandbox's own mounts: nothing more can be written than they say already. */
export function defaultPaths(spec: Spec): readonly PathRule[] {
  const rule = (path: string, rights: number, origin = 'landlock'): PathRule => ({ path, rights, origin });
  // The host's files are as writable as the program's id says.
  if (spec.root === 'host') return [rule('/', writeRights)];
  const own = spec.root === 'system' ? ['/tmp', homeFolder] : [];
  const isSystem = spec.root === 'system';
  const used = [...(isSystem ? ['/dev'] : []), ...(isSystem && spec.proc !== 'off' && spec.proc !== 'prefer' ? ['/proc'] : [])];
  return [
    rule('/', typeof spec.root === 'object' ? writeRights : executeRights),
    ...used.map((path) => rule(path, useRights)),
    ...(isSystem ? [rule('/dev/shm', writeRights)] : []),
    ...own.map((path) => rule(path, writeRights)),
    ...spec.mounts.flatMap((mount, index) => {
      const origin = `mounts[${index}]`;
      if (isWritableMount(mount)) return [rule(mount.target, writeRights, origin)];
      if (mount.type === 'dev') return [rule(mount.target, useRights, origin), rule(`${mount.target}/shm`, writeRights, origin)];
      return mount.type === 'proc' && spec.proc !== 'prefer' && spec.proc !== 'off' ? [rule(mount.target, useRights, origin)] : [];
    }),
  ];
}

/** Programs and libraries, and nothing that is somebody's. */
export function systemPaths({ system, node, etc, devices }: Host, origin: string, masks: readonly UsrMask[]): readonly PathRule[] {
  return [
    ...[...system, ...node, ...etc].flatMap(({ target }) => around(target, masks).map((path) => ({ path, rights: executeRights, origin }))),
    ...devices.map((name) => ({ path: `/dev/${name}`, rights: useRights, origin })),
  ];
}

// Landlock takes nothing away from a directory that was given: where something in it is hidden, its entries are given one by one.
function around(path: string, masks: readonly UsrMask[]): readonly string[] {
  const mask = masks.find(({ target }) => target === path);
  if (mask) return mask.kept.map((name) => `${path}/${name}`);
  if (!masks.some(({ target }) => target.startsWith(`${path}/`))) return [path];
  return readdirSync(path).flatMap((name) => around(`${path}/${name}`, masks));
}
