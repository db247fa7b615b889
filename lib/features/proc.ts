import { readdirSync } from 'node:fs';
import { parseOneOf } from '../parse';
import { noSlot, type PlanWriter } from '../plan/writer';
import { feature } from './feature';
import type { Spec } from './index';
import { mountAttr, newFs } from './mount-ops';
import type { RootTree } from './root-tree';

export interface ProcOptions {
  /**
   * The /proc of a `system` root and of mounts of type `proc`, proc(5):
   * - `'pids'` (default): only the folders of the sandbox's own processes (`subset=pid`, Linux 5.8). Where user namespaces may be
   *   nested init's own is covered: the kernel then refuses a /proc that shows more.
   * - `'masked'`: also what runtimes read of the machine (cpuinfo, meminfo, stat, …); all else is hidden.
   * - `'prefer'`: as `'pids'`, and none at all, reported as dropped, where the kernel refuses a new /proc because the
   *   host's own is covered by other mounts (inside most containers).
   * - `'full'`: all of it, as the host shows it.
   * - `'off'`: none.
   */
  readonly proc?: 'pids' | 'masked' | 'full' | 'prefer' | 'off';
}

export type ProcSpec = NonNullable<ProcOptions['proc']>;

const attributes = mountAttr.nosuid | mountAttr.nodev | mountAttr.noexec;

// What a masked /proc shows beside processes: facts about the machine that programs size themselves by.
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

export function emitProc(plan: PlanWriter, tree: RootTree, target: string, origin: string, spec: Spec): void {
  const { proc: kind, namespaces, nestedUserNamespaces } = spec;
  if (kind === 'off') return;
  if (!namespaces.pid) {
    bindHostProc(plan, tree, target, origin);
    return;
  }
  if (tree.canMake(target)) tree.dir(target, 0o755, origin);
  const options = procOptions[kind];
  if (kind !== 'prefer') {
    tree.mount(newFs(plan, 'proc', options, attributes, origin), target, 'dir', origin);
    if (kind === 'masked') for (const name of hiddenNames()) tree.mask(`${target}/${name}`, origin);
    if (kind === 'pids' && nestedUserNamespaces) tree.mask(`${target}/1`, origin);
    return;
  }
  plan.optional('inside', () => {
    tree.mount(newFs(plan, 'proc', options, attributes, 'proc'), target, 'dir', 'proc');
    if (nestedUserNamespaces) tree.mask(`${target}/1`, 'proc');
  });
}

// A procfs shows one pid namespace, and the kernel lets nobody else mount the host's.
function bindHostProc(plan: PlanWriter, tree: RootTree, target: string, origin: string): void {
  const slot = plan.slot(origin);
  plan.op('inside', origin, 'OpenTree', slot, noSlot, '/proc', 0x8001);
  plan.op('inside', origin, 'SetAttr', slot, attributes | mountAttr.readonly, 0, 0x8000, 0, noSlot);
  tree.mount(slot, target, 'dir', origin);
}

function hiddenNames(): readonly string[] {
  return readdirSync('/proc').filter((name) => !/^\d+$/.test(name) && !shown.has(name));
}
