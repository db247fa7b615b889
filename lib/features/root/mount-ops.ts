import { statSync } from 'node:fs';
import { SysError } from '../../base/errors';
import { bare } from '../../base/parse';
import { realHostPath } from '../../host/host-path';
import { noSlot, type Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import type { Context } from '../feature';

/** Attributes of mount_setattr(2) and fsmount(2). */
export const mountAttr = { readonly: 0x1, nosuid: 0x2, nodev: 0x4, noexec: 0x8 } as const;
/** Propagation and recursion of mount(2). */
export const mountFlags = { recursive: 0x4000, private: 0x40000 } as const;
const openTreeClone = 0x1;
/** Flag of the launcher: a symbolic link that was put into the path after it was resolved is an error. */
const noLinks = 0x40000000;
export const atRecursive = 0x8000;
/** Flags of open_tree(2): a copy with everything mounted below. */
export const cloneTree = openTreeClone | atRecursive;

interface Bind {
  readonly origin: string;
  readonly source: string;
  readonly readonly: boolean;
  /** When root runs nsjs, the source's owner becomes the sandbox's own id (an idmapped mount, Linux 5.12). */
  readonly owned: boolean;
  /** When root runs nsjs, the copy excludes mounts below the source. The kernel does not let a user leave them out. */
  readonly alone?: boolean;
  readonly slot?: Slot;
  /** Follows any symbolic link in a caller's source. Otherwise only links of the system are followed. */
  readonly followLinks?: boolean;
}

/**
 * Clones a tree of the host, recursively read-only if requested, always without set-id bits and devices. When root runs
 * nsjs, the keeper does it in the host's own mount namespace, because the source may lie below a directory that the
 * sandbox's id cannot enter. Otherwise init does it in its copy of the namespace.
 */
export function bindHost(plan: PlanWriter, context: Context, bind: Bind): Slot {
  const slot = bare(bind).slot ?? plan.slot(bind.origin);
  const isReal = bind.owned && !bind.followLinks;
  const source = isReal ? realHostPath(bind.source, bind.origin) : bind.source;
  const section = context.hostId === undefined ? 'inside' : 'host';
  const attributes = mountAttr.nosuid | mountAttr.nodev | (bind.readonly ? mountAttr.readonly : 0);
  const recursive = bind.alone && context.hostId !== undefined ? 0 : atRecursive;
  plan.op(section, bind.origin, 'OpenTree', slot, noSlot, source, openTreeClone | recursive | (isReal ? noLinks : 0));
  plan.op(section, bind.origin, 'SetAttr', slot, attributes, 0, recursive, mountFlags.private, noSlot);
  if (bind.owned && context.hostId !== undefined)
    mapOwner(plan, { hostId: context.hostId, hostIds: context.hostIds ?? 1 }, slot, bind.origin, statSource(source, bind.origin));
  return slot;
}

// Maps the source's owner to the sandbox's host id. With several host ids it maps all of them, from 0 on.
export function mapOwner(
  plan: PlanWriter,
  { hostId, hostIds }: { readonly hostId: number; readonly hostIds: number },
  slot: Slot,
  origin: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): void {
  const map = plan.shared(`idmap ${uid}:${gid}`, () => {
    const ns = plan.slot(origin);
    const map = (owner: number) => (hostIds === 1 ? `${owner} ${hostId} 1` : `0 ${hostId} ${hostIds}`);
    plan.marked('host-id', () => plan.op('maps', origin, 'UserNs', ns, map(uid), map(gid)));
    return ns;
  });
  plan.op('maps', origin, 'SetAttr', slot, 0, 0, atRecursive, 0, map);
}

/** Clones a device file of the host. */
export function cloneFile(plan: PlanWriter, { hostId }: Context, path: string, origin: string): Slot {
  const slot = plan.slot(origin);
  plan.op(hostId === undefined ? 'inside' : 'host', origin, 'OpenTree', slot, noSlot, path, openTreeClone);
  return slot;
}

/** A file system to create. */
interface NewFs {
  readonly type: string;
  /** As in `mount -o`; an empty value is a flag. */
  readonly options: Readonly<Record<string, string>>;
  readonly attributes: number;
  readonly origin: string;
  readonly slot?: Slot;
  readonly section?: 'host' | 'inside' | 'maps';
}

/** Creates a file system and returns its slot. */
export function makeFs(plan: PlanWriter, fs: NewFs): Slot {
  const { type, options, attributes, origin, slot = plan.slot(origin), section = 'inside' } = bare(fs);
  const text = Object.entries(options)
    .map(([key, value]) => `${key}\0${value}\0`)
    .join('');
  plan.op(section, origin, 'NewFs', slot, type, text, attributes);
  return slot;
}

/** Creates a file system by init, in a new slot. */
export const newFs = (plan: PlanWriter, type: string, options: NewFs['options'], attributes: number, origin: string): Slot =>
  makeFs(plan, { type, options, attributes, origin });

/** Mounts a new tmpfs on top of the old root, so that no directory of the host is needed as a mount point. */
export function newRoot(plan: PlanWriter, slot: Slot): void {
  const attributes = mountAttr.nosuid | mountAttr.nodev;
  plan.marked('root', () => makeFs(plan, { type: 'tmpfs', options: { mode: '755' }, attributes, origin: 'root', slot }));
  plan.marked('attach', () => plan.op('inside', 'root', 'MoveMount', slot, noSlot, '/'));
}

/** The result of stat(2) on a source. */
export interface Source {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly kind: 'dir' | 'file';
}

/** Returns the kind and owner of a source, by stat(2). */
export function statSource(source: string, origin: string): Source {
  try {
    const { uid, gid, mode } = statSync(source);
    return { uid, gid, mode, kind: (mode & 0o170000) === 0o040000 ? 'dir' : 'file' };
  } catch (cause) {
    const { errno = -5, syscall = 'stat' } = cause as NodeJS.ErrnoException;
    throw new SysError({
      errno: -errno,
      syscall,
      origin,
      path: source,
      hint: 'the source of a bind must exist on the host and be reachable by the caller',
    });
  }
}
