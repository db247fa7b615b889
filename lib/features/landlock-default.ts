import { readdirSync } from 'node:fs';
import type { Host } from '../host/host';
import type { UsrMask } from '../host/usr-masks';
import { executeRights, type PathRule, useRights, writeRights } from './landlock-rights';
import { homeDirectory } from './root/home';
import { isWritableMount } from './root/pins';
import type { Spec } from './spec';

/**
 * Returns the rules that follow from a sandbox's own mounts. They allow no writes that the mounts do not allow already.
 */
export function defaultPaths(spec: Spec): readonly PathRule[] {
  const rule = (path: string, rights: number, origin = 'landlock'): PathRule => ({ path, rights, origin });
  // Access to the host's files is limited by the permissions of the program's id.
  if (spec.root === 'host') return [rule('/', writeRights)];
  const own = spec.root === 'system' ? ['/tmp', homeDirectory] : [];
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

/** Returns rules for programs, libraries and devices of the system, without any private files. */
export function systemPaths({ system, node, etc, devices }: Host, origin: string, masks: readonly UsrMask[]): readonly PathRule[] {
  return [
    ...[...system, ...node, ...etc].flatMap(({ target }) => around(target, masks).map((path) => ({ path, rights: executeRights, origin }))),
    ...devices.map((name) => ({ path: `/dev/${name}`, rights: useRights, origin })),
  ];
}

// A Landlock rule cannot exclude part of a directory. If something below a directory is hidden, each of its entries
// gets a rule of its own.
function around(path: string, masks: readonly UsrMask[]): readonly string[] {
  const mask = masks.find(({ target }) => target === path);
  if (mask) return mask.kept.map((name) => `${path}/${name}`);
  if (!masks.some(({ target }) => target.startsWith(`${path}/`))) return [path];
  return readdirSync(path).flatMap((name) => around(`${path}/${name}`, masks));
}
