import { fstatSync } from 'node:fs';
import { OptionError } from '../base/errors';
import { hostWrites, refuseSetIdHole } from '../features/host-writes';
import { bindHost, makeFs, mapOwner, mountAttr, statSource } from '../features/root/mount-ops';
import type { Mount } from '../features/root/mounts';
import { type MountSpec, mounts as mountsFeature } from '../features/root/mounts';
import { looseDirectories } from '../features/root/pins';
import { runHost } from '../launcher/run-plan';
import type { Slot } from '../plan/operation';
import { PlanWriter } from '../plan/writer';
import type { Opened, Runtime } from '../runtime/runtime';
import { enter } from './enter';
import { pinInto, shareMount } from './pins';

const origin = 'mount';

/**
 * Mounts something into a running sandbox. A separate launcher does it, which enters the sandbox's user and mount
 * namespaces only, so that no process inside can see it. Paths that programs change at the same time cannot redirect
 * the mount: directories on the way to the target that programs could rename are pinned.
 */
export async function mountInto(runtime: Runtime, opened: Opened, mount: Mount): Promise<void> {
  const [spec] = mountsFeature.parse([mount], origin);
  const { context } = runtime;
  const plan = new PlanWriter();
  if (spec?.type !== 'bind' && spec?.type !== 'tree' && spec?.type !== 'tmpfs')
    throw new OptionError(`${origin}[0].type`, "a running sandbox only accepts mounts of type 'bind', 'tree' or 'tmpfs'");
  if (spec.type === 'bind' && context.hostId === undefined)
    throw new OptionError(
      `${origin}[0].type`,
      'only root can add a bind mount to a running sandbox; pass the mount to Sandbox.open, or copy the files with fs.copyIn',
    );

  refuseSetId(runtime, spec);
  await pinInto(runtime, looseDirectories(runtime.spec, spec.target));
  let tree: Slot;
  let isDirectory = true;
  if (spec.type === 'bind') {
    tree = bindHost(plan, context, { origin, source: spec.source, readonly: spec.readonly, owned: true, followLinks: spec.followLinks });
    isDirectory = statSource(spec.source, origin).kind === 'dir';
  } else if (spec.type === 'tree') {
    tree = plan.pass(origin, spec.tree);
    isDirectory = fstatSync(spec.tree).isDirectory();
    if (context.hostId !== undefined)
      mapOwner(plan, { hostId: context.hostId, hostIds: context.hostIds ?? 1 }, tree, origin, fstatSync(spec.tree));
  } else tree = plan.slot(origin);
  const root = enter(plan, opened, origin);
  if (spec.type === 'tmpfs')
    makeFs(plan, {
      type: 'tmpfs',
      options: { size: `${spec.size}`, nr_inodes: `${spec.inodes}`, mode: spec.mode.toString(8) },
      attributes: mountAttr.nosuid | mountAttr.nodev,
      origin,
      slot: tree,
      section: 'maps',
    });
  if (isDirectory) plan.op('maps', origin, 'MakeDir', root, spec.target, 0o755);
  else plan.op('maps', origin, 'MakeFile', root, spec.target, '', 0o644);
  plan.op('maps', origin, 'MoveMount', tree, root, spec.target);
  await runHost(plan, runtime.spec.launcherPath);
  runtime.addMount(spec);
  await shareMount(runtime, spec);
}

// The seccomp filter of the sandbox is already in force, so it must already refuse to create set-id files.
function refuseSetId({ spec }: Runtime, mount: MountSpec): void {
  refuseSetIdHole({ ...spec, mounts: [mount] });
  if (hostWrites({ ...spec, root: 'empty', mounts: [mount] }) !== undefined && spec.seccomp !== 'off' && spec.seccomp.profile)
    throw new OptionError(
      `${origin}[0]`,
      'a sandbox with a custom seccomp profile cannot get a writable host directory later; pass the mount to Sandbox.open',
    );
}
