import { readdirSync } from 'node:fs';
import { OptionError } from '../../base/errors';
import { parseOneOf } from '../../base/parse';
import { noSlot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import { type Dropped, feature } from '../feature';
import type { Spec } from '../spec';
import { makeFs, mountAttr, newFs } from './mount-ops';
import type { MountBuild, RootTree } from './tree';

export interface ProcOptions {
  /**
   * The /proc of a `system` root and of mounts of type `proc`, proc(5):
   * - `'pids'` (default): only the directories of the sandbox's own processes (`subset=pid`, Linux 5.8). If nested user
   *   namespaces are allowed, init's own directory is masked: the kernel then refuses a /proc that shows more.
   * - `'masked'`: also the facts about the machine that runtimes read (cpuinfo, meminfo, stat, …); all other entries
   *   are hidden.
   * - `'prefer'`: like `'pids'`, but no /proc at all, which is reported as dropped, if the kernel refuses a new one
   *   because other mounts cover parts of the host's (inside most containers).
   * - `'full'`: everything, as the host shows it.
   * - `'off'`: no /proc.
   *
   * With `namespaces: { pid: false }` the processes are the host's. When root runs nsjs, `'pids'` and `'masked'` show
   * the program only its own processes. A user cannot mount such a /proc: these values are then an error, and
   * `'prefer'` mounts none. `'full'` is the host's own /proc, read-only.
   */
  readonly proc?: 'pids' | 'masked' | 'full' | 'prefer' | 'off';
}

export type ProcSpec = NonNullable<ProcOptions['proc']>;

const attributes = mountAttr.nosuid | mountAttr.nodev | mountAttr.noexec;

// Entries of a masked /proc besides processes: facts about the machine by which programs size themselves.
const shown = new Set([
  'self',
  'thread-self',
  'cpuinfo',
  'meminfo',
  'stat',
  'uptime',
  'loadavg',
  'version',
  'filesystems',
  'mounts',
  'net',
  'cgroups',
]);

const procOptions: Readonly<Record<Exclude<ProcSpec, 'off'>, Readonly<Record<string, string>>>> = {
  pids: { subset: 'pid', hidepid: 'invisible' },
  prefer: { subset: 'pid', hidepid: 'invisible' },
  masked: { hidepid: 'invisible' },
  full: {},
};

export const proc = feature({
  key: 'proc',
  parse: (value = 'pids', at): ProcSpec => parseOneOf(value, at, ['pids', 'masked', 'full', 'prefer', 'off']),
});

export function emitProc(build: MountBuild, target: string): void {
  const { plan, tree, origin, spec } = build;
  const { proc: kind, namespaces, nestedUserNamespaces } = spec;
  if (kind === 'off') return;
  if (!namespaces.pid) {
    emitHostProc(build, target, kind);
    return;
  }
  if (tree.canMake(target)) tree.dir(target, 0o755, origin);
  const options = procOptions[kind];
  if (kind !== 'prefer') {
    tree.mount(
      plan.marked('procfs', () => newFs(plan, 'proc', options, attributes, origin)),
      target,
      'dir',
      origin,
    );
    if (kind === 'masked') maskFacts(tree, target, origin);
    if (kind === 'pids' && nestedUserNamespaces) tree.mask(`${target}/1`, origin);
    return;
  }
  plan.optional('inside', () => {
    tree.mount(
      plan.marked('procfs', () => newFs(plan, 'proc', options, attributes, 'proc')),
      target,
      'dir',
      'proc',
    );
    if (nestedUserNamespaces) tree.mask(`${target}/1`, 'proc');
  });
}

// A procfs shows one pid namespace. Only a process with rights over the host's can mount one that shows less of it.
function emitHostProc({ plan, tree, origin, context }: MountBuild, target: string, kind: Exclude<ProcSpec, 'off'>): void {
  if (kind === 'full') bindHostProc(plan, tree, target, origin);
  else if (context.hostId !== undefined) {
    tree.mount(makeFs(plan, { type: 'proc', options: procOptions[kind], attributes, origin, section: 'host' }), target, 'dir', origin);
    if (kind === 'masked') maskFacts(tree, target, origin);
  } else if (kind !== 'prefer') throw new OptionError('proc', `'${kind}' needs a pid namespace unless root runs nsjs: ${hostProcFix}`);
}

const hostProcFix = "write proc: 'off' for no /proc, or 'full' for the host's own, which shows the processes and the kernel of the machine";

/** Returns the protection that is lost without a pid namespace. */
export function procDropped({ proc: kind, namespaces, root }: Spec, isRoot: boolean): readonly Dropped[] {
  if (namespaces.pid || root !== 'system') return [];
  if (kind === 'full')
    return [
      {
        control: 'proc',
        reason:
          "without a pid namespace 'full' is the host's own /proc, read-only, which shows the processes and the kernel of the machine",
        fix: "leave pid out of namespaces, or write proc: 'off'",
      },
    ];
  if (kind !== 'prefer' || isRoot) return [];
  const reason = 'without a pid namespace only root can mount a /proc that hides processes outside the sandbox';
  return [{ control: 'proc', reason, fix: hostProcFix }];
}

const maskFacts = (tree: RootTree, target: string, origin: string): void => {
  for (const name of hiddenNames()) tree.mask(`${target}/${name}`, origin);
};

function bindHostProc(plan: PlanWriter, tree: RootTree, target: string, origin: string): void {
  const slot = plan.slot(origin);
  plan.op('inside', origin, 'OpenTree', slot, noSlot, '/proc', 0x8001);
  plan.op('inside', origin, 'SetAttr', slot, attributes | mountAttr.readonly, 0, 0x8000, 0, noSlot);
  tree.mount(slot, target, 'dir', origin);
}

/** Returns whether a masked /proc hides an entry of that name. */
export const isHidden = (name: string): boolean => !/^\d+$/.test(name) && !shown.has(name);

function hiddenNames(): readonly string[] {
  // A symbolic link, such as device-tree on arm64, cannot be mounted on. Its target does not exist inside.
  return readdirSync('/proc', { withFileTypes: true }).flatMap((entry) =>
    entry.isSymbolicLink() || !isHidden(entry.name) ? [] : [entry.name],
  );
}

declare module '../spec' {
  interface Spec {
    readonly proc: ReturnType<(typeof proc)['parse']>;
  }
}
