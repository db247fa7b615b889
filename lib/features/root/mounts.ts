import { fstatSync } from 'node:fs';
import { OptionError } from '../../base/errors';
import {
  type Bytes,
  checkKnown,
  isBytes,
  parseArray,
  parseBoolean,
  parseBytes,
  parseHostPath,
  parseInteger,
  parseObject,
  parseOneOf,
  parseString,
  parseTarget,
} from '../../base/parse';
import type { Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import { feature } from '../feature';
import { emitDev } from './dev';
import { bindHost, mapOwner, mountAttr, newFs, statSource } from './mount-ops';
import { pinForOthers } from './mount-places';
import { emitOverlay, type OverlayOptions, type OverlaySpec, overlayKeys, parseOverlay } from './overlay';
import { emitProc } from './proc';
import { stagedFile } from './stage';
import type { MountBuild, RootTree } from './tree';

/**
 * One entry of {@link MountsOptions.mounts}. `target` is an absolute path inside. Missing directories on the way to it
 * are created.
 */
export type Mount =
  /**
   * A file or directory of the host with everything mounted below it. Read-only unless `readonly: false`; set-id bits
   * and devices never take effect.
   * A symbolic link in `source` is an error (ELOOP), because an earlier sandbox could have created it. Links of the
   * system are followed: those directly in `/`, `/var` or `/run`, or below /usr, /etc, /nix or /gnu, in directories
   * that belong to root and that nobody else may write to. `followLinks: true` follows all links.
   */
  | {
      readonly type: 'bind';
      readonly source: string | URL;
      readonly target?: string;
      readonly readonly?: boolean;
      readonly followLinks?: boolean;
    }
  /** An empty tmpfs. `size` in bytes (default 64 MiB), `inodes` (default 16,384), `mode` (default 0o755). */
  | { readonly type: 'tmpfs'; readonly target: string; readonly size?: Bytes; readonly inodes?: number; readonly mode?: number }
  /** proc(5) of the sandbox's own pid namespace. */
  | { readonly type: 'proc'; readonly target: string }
  /**
   * The devices null, zero, full, random, urandom and tty, shm, the links to the program's descriptors and, with option
   * `terminal`, ptmx and pts; nothing else.
   */
  | { readonly type: 'dev'; readonly target: string }
  /** A file with the given content, read-only. */
  | { readonly type: 'file'; readonly target: string; readonly data: string | Uint8Array; readonly mode?: number }
  /** A symbolic link at `target` that leads to `to`. Below a writable bind it is created on the host. */
  | { readonly type: 'symlink'; readonly target: string; readonly to: string }
  /** An empty directory, read-only. Below a writable bind it is created on the host and is writable. */
  | { readonly type: 'dir'; readonly target: string; readonly mode?: number }
  /** Directories of the host, combined into a writable one; see {@link OverlayOptions}. */
  | ({ readonly type: 'overlay'; readonly target: string } & OverlayOptions)
  /** A {@link MountTree}, or any descriptor of a detached mount. It belongs to the sandbox from then on. */
  | { readonly type: 'tree'; readonly tree: { readonly fd: number }; readonly target: string }
  /**
   * Makes `target` read-only, with everything mounted below it. If programs can write to a directory above it, each
   * directory on the way is mounted on itself, so that it cannot be renamed (EBUSY); rename(2) and link(2) across it
   * fail with EXDEV. The same applies to every other mount in such a directory.
   */
  | { readonly type: 'readonly'; readonly target: string }
  /** Hides `target`: a file reads as empty, a directory is empty and read-only. */
  | { readonly type: 'mask'; readonly target: string };

export interface MountsOptions {
  /** Mounts in the root, in this order. Default: none besides those of option `root`. */
  readonly mounts?: readonly Mount[];
}

export type MountSpec =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      readonly followLinks: boolean;
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly size: number; readonly inodes: number; readonly mode: number }
  | ({ readonly type: 'overlay'; readonly target: string } & OverlaySpec)
  | { readonly type: 'tree'; readonly tree: number; readonly target: string }
  | { readonly type: 'proc' | 'dev' | 'mask' | 'readonly'; readonly target: string }
  | { readonly type: 'file'; readonly target: string; readonly data: Uint8Array; readonly mode: number }
  | { readonly type: 'symlink'; readonly target: string; readonly to: string }
  | { readonly type: 'dir'; readonly target: string; readonly mode: number };

const keys = {
  bind: ['type', 'source', 'target', 'readonly', 'followLinks'],
  tmpfs: ['type', 'target', 'size', 'inodes', 'mode'],
  proc: ['type', 'target'],
  dev: ['type', 'target'],
  file: ['type', 'target', 'data', 'mode'],
  symlink: ['type', 'target', 'to'],
  dir: ['type', 'target', 'mode'],
  overlay: ['type', 'target', ...overlayKeys],
  tree: ['type', 'tree', 'target'],
  readonly: ['type', 'target'],
  mask: ['type', 'target'],
} as const;

const types = Object.keys(keys) as (keyof typeof keys)[];
const allKeys: readonly string[] = [...new Set(types.flatMap((type) => keys[type]))];
const defaultSize = 64 * 2 ** 20;
const defaultInodes = 16_384;
// The kernel rounds a tmpfs up to whole pages and needs one inode for its root.
const minSize = 4096;
const minInodes = 2;

export const mounts = feature({
  key: 'mounts',
  parse: (value = [], at): readonly MountSpec[] => parseArray(value, at).map((entry, index) => parseMount(entry, `${at}[${index}]`)),
});

function parseMount(value: unknown, at: string): MountSpec {
  const entry: Partial<Record<string, unknown>> = parseObject(value, at, allKeys);
  const type = parseOneOf(entry.type, `${at}.type`, types);
  checkKnown(Object.keys(entry), at, keys[type]);
  if (type === 'bind') return parseBind(entry, at);
  const target = parseTarget(entry.target, `${at}.target`);
  if (target === '/') throw new OptionError(`${at}.target`, "is '/', which the option `root` defines");
  const mode = (fallback: number) => (entry.mode === undefined ? fallback : parseInteger(entry.mode, `${at}.mode`, 0, 0o1777));
  switch (type) {
    case 'overlay': {
      const { type: _type, target: _target, ...overlay } = entry;
      return { type, target, ...parseOverlay(overlay, at) };
    }
    case 'tree': {
      const { fd } = (entry.tree ?? {}) as { readonly fd?: unknown };
      if (typeof fd !== 'number') throw new OptionError(`${at}.tree`, 'expected a MountTree', 'ERR_INVALID_ARG_TYPE');
      return { type, target, tree: parseInteger(fd, `${at}.tree.fd`, 0, 2 ** 31 - 1) };
    }
    case 'tmpfs': {
      const size = entry.size === undefined ? defaultSize : parseBytes(entry.size, `${at}.size`, minSize);
      const inodes = entry.inodes === undefined ? defaultInodes : parseInteger(entry.inodes, `${at}.inodes`, minInodes, 2 ** 31);
      return { type, target, size, inodes, mode: mode(0o755) };
    }
    case 'file':
      return { type, target, data: parseData(entry.data, `${at}.data`), mode: mode(0o644) };
    case 'symlink':
      return { type, target, to: parseString(entry.to, `${at}.to`) };
    case 'dir':
      return { type, target, mode: mode(0o755) };
    default:
      return { type, target };
  }
}

function parseBind(entry: Partial<Record<string, unknown>>, at: string): MountSpec {
  const source = parseHostPath(entry.source, `${at}.source`);
  const target = parseTarget(entry.target ?? source, `${at}.target`);
  if (target === '/') throw new OptionError(`${at}.target`, "is '/', which the option `root` defines");
  const { readonly = true, followLinks = false } = entry;
  const flags = { readonly: parseBoolean(readonly, `${at}.readonly`), followLinks: parseBoolean(followLinks, `${at}.followLinks`) };
  return { type: 'bind', source, target, ...flags };
}

function parseData(value: unknown, at: string): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value);
  if (isBytes(value)) return Uint8Array.from(value);
  throw new OptionError(at, 'expected a string or a Uint8Array', 'ERR_INVALID_ARG_TYPE');
}

/** Emits the operations of one mount. */
export function emitMount(build: MountBuild, mount: MountSpec): void {
  const { plan, tree, origin, spec, context } = build;
  switch (mount.type) {
    case 'bind': {
      const { source, readonly } = mount;
      const slot = bindHost(plan, context, { ...mount, origin, owned: true });
      tree.mount(slot, mount.target, statSource(source, origin).kind, origin, { fixed: true, writable: !readonly });
      if (!readonly) pinForOthers(tree, mount, origin, context);
      return;
    }
    case 'tmpfs':
      tree.mount(emitTmpfs(build, mount), mount.target, 'dir', origin, { fresh: true, writable: true, fixed: true });
      return;
    case 'proc':
      emitProc(build, mount.target);
      return;
    case 'dev':
      emitDev(build, mount.target);
      return;
    case 'file':
      emitFile(plan, tree, mount, origin);
      return;
    case 'symlink':
      tree.symlink(mount.target, mount.to, origin);
      return;
    case 'dir':
      tree.dir(mount.target, mount.mode, origin);
      return;
    case 'overlay':
      if (spec.root === 'host') throw new OptionError(`${origin}.type`, "an overlay cannot be combined with root: 'host'");
      tree.mount(emitOverlay(plan, mount, origin, context), mount.target, 'dir', origin, { writable: true, fixed: true });
      return;
    case 'tree': {
      const slot = plan.pass(origin, mount.tree);
      const stats = fstatSync(mount.tree);
      if (context.hostId !== undefined) mapOwner(plan, { hostId: context.hostId, hostIds: context.hostIds ?? 1 }, slot, origin, stats);
      tree.mount(slot, mount.target, stats.isDirectory() ? 'dir' : 'file', origin, { writable: true, fixed: true });
      return;
    }
    case 'readonly':
      tree.readonly(mount.target, origin);
      return;
    case 'mask':
      tree.mask(mount.target, origin);
  }
}

function emitTmpfs({ plan, origin, spec, context: { hostId } }: MountBuild, mount: Extract<MountSpec, { type: 'tmpfs' }>): Slot {
  const { size, inodes, mode } = mount;
  // In the host's user namespace init is root and the program is not, so a tmpfs for the program must be given to its
  // id.
  const owner: Readonly<Record<string, string>> =
    spec.namespaces.user || spec.namespaces.joined.user !== undefined || hostId === undefined ? {} : { uid: `${hostId}`, gid: `${hostId}` };
  const options = { size: `${size}`, nr_inodes: `${inodes}`, mode: mode.toString(8), ...owner };
  return newFs(plan, 'tmpfs', options, mountAttr.nosuid | mountAttr.nodev, origin);
}

// On the new root, and on an empty file system, the file is created in place. Elsewhere it is mounted over the existing
// target.
function emitFile(plan: PlanWriter, tree: RootTree, { target, data, mode }: Extract<MountSpec, { type: 'file' }>, origin: string): void {
  if (tree.isSealed(target)) {
    tree.file(target, data, mode, origin);
    return;
  }
  if (tree.fixedFile(target, data, mode, origin)) return;
  tree.mount(stagedFile(plan, 'own', data, mode, origin), target, 'file', origin, { fixed: true });
}

declare module '../spec' {
  interface Spec {
    readonly mounts: ReturnType<(typeof mounts)['parse']>;
  }
}
