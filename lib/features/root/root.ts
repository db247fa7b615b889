import { OptionError } from '../../base/errors';
import { isUrl, parseHostPath } from '../../base/parse';
import { pathDirectory } from '../../native/open-flags';
import { noSlot, type Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import { type Context, feature, type Step } from '../feature';
import type { Spec } from '../spec';
import { etcFiles } from './etc';
import { homeDirectory } from './home';
import { bindHost, mountAttr, mountFlags, newFs, newRoot } from './mount-ops';
import { pinForOthers, placeMount } from './mount-places';
import { emitMount } from './mounts';
import { emitOverlay, type OverlayOptions, type OverlaySpec, parseOverlay, upperKey } from './overlay';
import { closeStage, openStages, stagedFile } from './stage';
import { hiddenOrigin, RootTree } from './tree';

export interface RootOptions {
  /**
   * The root directory inside. It is entered by pivot_root(2), or by chroot(2) in a mount namespace that contains
   * nothing of the host:
   * - `'system'` (default): a new read-only root with the host's programs and libraries (`/usr` and its aliases, the
   *   running Node) mounted read-only, a small `/etc` of its own, `/dev`, `/proc`, and a writable `/tmp` and home
   *   directory. When root runs nsjs, sandboxes with the same options share this root from the second one on: files on
   *   the new root itself, and not below another mount, belong to the sandbox's id or to nobody.
   * - `'empty'`: a new read-only root that contains only the `mounts`.
   * - a path: that directory, read-only. The targets of `mounts` must exist in it.
   * - an {@link OverlayOptions}: directories of the host, such as the layers of an image. Changes are kept apart from
   *   them.
   * - `'host'`: the host's own root, changed only by `mounts`. Files are not isolated.
   */
  readonly root?: 'system' | 'empty' | 'host' | (string & {}) | URL | OverlayOptions;
}

export type RootSpec = string | OverlaySpec;

const maxOverlays = 16;

const kinds = ['system', 'empty', 'host'] as const;

export const root = feature({
  key: 'root',
  parse(value = 'system', at): RootSpec {
    if (typeof value === 'object' && value !== null && !isUrl(value)) return parseOverlay(value, at);
    const kind = kinds.find((name) => name === value);
    return kind ?? parseHostPath(value, at);
  },
});

/** Builds the whole tree in init's mount namespace and makes it the root directory. */
export const rootTree: Step = {
  emit(plan, spec, context) {
    if (!spec.namespaces.mnt) {
      if (spec.root !== 'host' || spec.mounts.length > 0)
        throw new OptionError('namespaces.mnt', "a shared mount namespace needs root: 'host' and no mounts");
      return;
    }
    plan.op('inside', 'root', 'Propagation', mountFlags.recursive | mountFlags.private);
    const start = plan.ops.inside.length;
    const tree = openRoot(plan, spec, context);
    if (spec.root === 'system') emitSystem(plan, tree, spec, context);
    if (spec.root === 'host') pinForOthers(tree, { source: '/', target: '' }, 'root', context);
    for (const [index, mount] of spec.mounts.entries()) emitMount({ plan, tree, origin: `mounts[${index}]`, spec, context }, mount);
    openStages(plan, start);
    if (spec.root === 'host') closeStage(plan);
    else finishRoot(plan, spec, tree);
    if (context.kind === 'sandbox' && !context.parked) shareDirectories(plan, spec);
  },
};

function finishRoot(plan: PlanWriter, spec: Spec, tree: RootTree): void {
  if (tree.writable && typeof spec.root === 'string')
    plan.marked('seal', () => plan.op('inside', 'root', 'SetAttr', plan.root, mountAttr.readonly, 0, 0, 0, noSlot));
  plan.marked('pivot', () => plan.op('inside', 'root', 'PivotRoot', plan.root));
}

/**
 * Identifies directories among the descriptors that a launcher sends: the root directory, and from `upper` on those
 * that take the changes of overlays.
 */
export const directoryFd = { root: 2, upper: 16 } as const;

/** Returns the overlays of a sandbox, in the order in which the descriptors of their changes are sent. */
export function overlaysOf({ root: chosen, mounts }: Spec): readonly { readonly origin: string; readonly target: string }[] {
  return [
    ...(typeof chosen === 'object' ? [{ origin: 'root', target: '/' }] : []),
    ...mounts.flatMap((mount, index) => (mount.type === 'overlay' ? [{ origin: `mounts[${index}]`, target: mount.target }] : [])),
  ];
}

// The process that opened the sandbox has no other access to its files, since init's /proc files are open to nobody.
function shareDirectories(plan: PlanWriter, spec: Spec): void {
  const own = plan.slot('root');
  plan.op('inside', 'root', 'Open', own, noSlot, '/', pathDirectory);
  plan.op('inside', 'root', 'SendFd', own, directoryFd.root);
  const overlays = overlaysOf(spec);
  if (overlays.length > maxOverlays) throw new OptionError('mounts', `a long-lived sandbox has at most ${maxOverlays} overlays`);
  for (const [index, { origin }] of overlays.entries())
    plan.op('inside', origin, 'SendFd', plan.known(upperKey(origin)) ?? noSlot, directoryFd.upper + index);
}

function openRoot(plan: PlanWriter, spec: Spec, context: Context): RootTree {
  const { root: slot } = plan;
  if (spec.root === 'host') {
    plan.op('inside', 'root', 'OpenTree', slot, noSlot, '/', 0);
    return new RootTree(plan, slot, false, false, true);
  }
  if (spec.root === 'system' || spec.root === 'empty') {
    newRoot(plan, slot);
    return new RootTree(plan, slot, true);
  }
  if (typeof spec.root === 'object') {
    plan.op('inside', 'root', 'MoveMount', emitOverlay(plan, spec.root, 'root', context, slot), noSlot, '/');
    return new RootTree(plan, slot, true, false, true);
  }
  bindHost(plan, context, { origin: 'root', source: spec.root, slot, readonly: true, owned: true });
  plan.op('inside', 'root', 'MoveMount', slot, noSlot, '/');
  return new RootTree(plan, slot, false);
}

function emitSystem(plan: PlanWriter, tree: RootTree, spec: Spec, context: Context): void {
  const build = { plan, tree, spec, context };
  const { host } = context;
  for (const { target, link } of host.system) {
    if (link === undefined) bindSystem(plan, tree, context, target, 'dir');
    else tree.symlink(target, link, 'root');
  }
  // A Node installation below /tmp, /dev or the home directory is mounted after the file systems there.
  const isCovered = ({ target }: { readonly target: string }) =>
    ['/tmp/', '/dev/', `${homeDirectory}/`].some((directory) => target.startsWith(directory));
  for (const { target, kind } of host.node.filter((one) => !isCovered(one))) bindSystem(plan, tree, context, target, kind);
  // A mount of the caller at such a path, or below it, replaces the host's file.
  const isOwn = (path: string) => spec.mounts.some(({ target }) => target === path || target.startsWith(`${path}/`));
  for (const { target, kind, isRuntime } of host.etc) if (!isRuntime || !isOwn(target)) bindSystem(plan, tree, context, target, kind);
  hideForeign(plan, tree, spec, context);
  for (const [path, text] of etcFiles(spec, context)) tree.file(path, Buffer.from(text), 0o644, 'root');
  plan.marked('system', () => emitMount({ ...build, origin: 'root' }, { type: 'dev', target: '/dev' }));
  emitMount({ ...build, origin: 'proc' }, { type: 'proc', target: '/proc' });
  const scratch = { size: spec.scratch.size, inodes: spec.scratch.inodes } as const;
  emitMount({ ...build, origin: 'scratch' }, { type: 'tmpfs', target: '/tmp', mode: 0o1777, ...scratch });
  emitMount({ ...build, origin: 'scratch' }, { type: 'tmpfs', target: homeDirectory, mode: 0o755, ...scratch });
  for (const { target, kind } of host.node.filter(isCovered)) bindSystem(plan, tree, context, target, kind);
  tree.symlink('/var/tmp', '/tmp', 'root');
  if (!isOwn('/etc/os-release')) tree.symlink('/etc/os-release', '/usr/lib/os-release', 'root');
}

// Hides the parts of /usr that do not belong to the system. An empty directory covers each, with mount points for the
// caller's own mounts.
function hideForeign(plan: PlanWriter, tree: RootTree, { mounts }: Spec, context: Context): void {
  for (const { target, kind, kept } of context.hidden ?? []) {
    if (kind === 'file') {
      plan.marked('hide', () => tree.mount(stagedFile(plan, 'hide', '', 0o444, hiddenOrigin), target, 'file', hiddenOrigin));
      continue;
    }
    const cover = plan.marked('hide', () => newCover(plan));
    plan.marked('hide', () => tree.mount(cover, target, 'dir', hiddenOrigin, { fresh: true }));
    for (const name of kept) bindSystem(plan, tree, context, `${target}/${name}`, 'dir');
    plan.marked('hide', () => {
      for (const [index, mount] of mounts.entries()) if (mount.target.startsWith(`${target}/`)) placeMount(tree, mount, `mounts[${index}]`);
      plan.op('inside', hiddenOrigin, 'SetAttr', cover, mountAttr.readonly, 0, 0, 0, noSlot);
    });
  }
}

const newCover = (plan: PlanWriter): Slot => newFs(plan, 'tmpfs', { mode: '755' }, mountAttr.nosuid | mountAttr.nodev, hiddenOrigin);

function bindSystem(plan: PlanWriter, tree: RootTree, context: Context, path: string, kind: 'dir' | 'file'): Slot {
  const slot = plan.marked('system', () => bindHost(plan, context, { origin: 'root', source: path, readonly: true, owned: false }));
  tree.mount(slot, path, kind, 'root');
  return slot;
}

declare module '../spec' {
  interface Spec {
    readonly root: ReturnType<(typeof root)['parse']>;
  }
}
