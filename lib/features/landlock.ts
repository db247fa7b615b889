import { NsError, OptionError } from '../base/errors';
import { parseArray, parseInteger, parseObject, parseOneOf, parseRecord, parseTarget } from '../base/parse';
import type { Host } from '../host/host';
import { openFlags } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import { type Context, type Dropped, feature, type Step } from './feature';
import { defaultPaths, systemPaths } from './landlock-default';
import {
  executeRights,
  type LandlockFsRight,
  type LandlockScope,
  type PathRule,
  parseRights,
  readRights,
  scopeNames,
  scopes,
  writeRights,
} from './landlock-rights';
import { isHostUser } from './namespaces';
import { queuesKey } from './root/dev';
import { mountAttr, newFs } from './root/mount-ops';
import type { Spec } from './spec';
import { verifyProcKey } from './verify';

/** Access by path, port and signal that a program keeps. All other access to files that Landlock controls is denied. */
export interface LandlockPolicy {
  /**
   * `'require'` (default): an error if the kernel lacks a part of the policy. `'prefer'`: that part is dropped and
   * reported.
   */
  readonly level?: 'require' | 'prefer';
  /** Paths inside. Files below them may be read and directories listed. */
  readonly read?: readonly string[];
  /**
   * Paths below which files may be read and executed. `'system'`: the programs, libraries and devices of a `system`
   * root.
   */
  readonly execute?: readonly ('system' | (string & {}))[];
  /** Paths below which files may be read and changed in any way, except that no device nodes may be created. */
  readonly write?: readonly string[];
  /**
   * Individual rights by path, by the kernel's names. A number gives the bits of rights that are newer than this table.
   */
  readonly paths?: Readonly<Record<string, readonly (LandlockFsRight | number)[]>>;
  /** TCP ports that may be bound, or connected to (ABI 4, Linux 6.7). Default: any. */
  readonly bindTcp?: readonly number[];
  readonly connectTcp?: readonly number[];
  /** Operations that are restricted to the program and its descendants (ABI 6, Linux 6.12). Default: none. */
  readonly scopes?: readonly LandlockScope[];
}

export interface LandlockOptions {
  /**
   * Landlock inside the sandbox, as a second barrier in addition to its mounts: landlock(7), Linux 5.13. `'prefer'`
   * (used by most presets) and `'require'`: the program may read and execute everywhere and write where the sandbox has
   * a writable place; signals and abstract sockets are restricted to the program itself. A {@link LandlockPolicy} gives
   * the access path by path. `'off'`: no Landlock. Programs that mount file systems or create namespaces need `'off'`.
   */
  readonly landlock?: 'require' | 'prefer' | 'off' | LandlockPolicy;
}

export interface LandlockSpec {
  readonly level: 'require' | 'prefer' | 'off';
  /** Undefined: the rules follow from the sandbox's mounts. */
  readonly paths?: readonly PathRule[];
  readonly bindTcp?: readonly number[];
  readonly connectTcp?: readonly number[];
  readonly scopes?: readonly LandlockScope[];
}

const keys = ['level', 'read', 'execute', 'write', 'paths', 'bindTcp', 'connectTcp', 'scopes'] as const;
const levels = ['require', 'prefer', 'off'] as const;
const maxPort = 65_535;

export const landlock = feature({
  key: 'landlock',
  scope: 'both',
  parse(value = 'off', at): LandlockSpec {
    if (typeof value === 'string') return { level: parseOneOf(value, at, levels) };
    const given = parseObject(value, at, keys);
    const ports = (key: 'bindTcp' | 'connectTcp') =>
      given[key] === undefined
        ? {}
        : { [key]: parseArray(given[key], `${at}.${key}`).map((port, i) => parseInteger(port, `${at}.${key}[${i}]`, 0, maxPort)) };
    return {
      level: given.level === undefined ? 'require' : parseOneOf(given.level, `${at}.level`, ['require', 'prefer']),
      paths: parsePaths(given, at),
      ...ports('bindTcp'),
      ...ports('connectTcp'),
      ...(given.scopes === undefined
        ? {}
        : { scopes: parseArray(given.scopes, `${at}.scopes`).map((name, i) => parseOneOf(name, `${at}.scopes[${i}]`, scopeNames)) }),
    };
  },
  emit(plan, spec, context) {
    const ruleset = landlockFor(spec, context);
    if (!ruleset) return;
    if (!spec.noNewPrivileges) throw new OptionError('landlock', 'requires noNewPrivileges: true');
    const section = sectionOf(spec, context.kind);
    if (section) emitRuleset(plan, section, ruleset, context);
    else if (context.kind === 'sandbox') openPaths(plan, ruleset);
  },
});

/**
 * In a long-lived sandbox init restricts itself, so that all programs share one ruleset and can see and signal each
 * other. Without a pid namespace init has to read the host's /proc, so each program gets its own ruleset.
 */
function sectionOf({ namespaces }: Spec, kind: Context['kind']): 'inside' | 'program' | undefined {
  if (kind === 'run' || !namespaces.pid) return kind === 'sandbox' ? undefined : 'program';
  return kind === 'sandbox' ? 'inside' : undefined;
}

const pathKey = (index: number): string => `landlock path ${index}`;

// The paths of the rules are opened once, before any program could replace the files there.
function openPaths(plan: PlanWriter, { paths }: Ruleset): void {
  for (const [index, { path, origin }] of paths.entries()) {
    const slot = plan.shared(pathKey(index), () => plan.slot(origin));
    plan.op('inside', origin, 'Open', slot, noSlot, path, openFlags.path);
    plan.op('inside', origin, 'Hold', slot);
  }
}

/**
 * POSIX message queues are on a file system of the ipc namespace that no path leads to. Landlock would deny access to
 * them without a rule of their own. The file system is opened before the program's process is forked, so that this
 * process inherits the descriptor.
 */
export const mqueueForLandlock: Step = {
  emit(plan, spec, context) {
    const { ipc, mnt } = spec.namespaces;
    if (!ipc || !mnt || !context.host.hasMqueue || !landlockFor(spec, context)) return;
    const slot = newFs(plan, 'mqueue', {}, mountAttr.nosuid | mountAttr.nodev | mountAttr.noexec, 'landlock');
    plan.shared(queuesKey, () => slot);
    // Init keeps the descriptor open: programs that start later need it for their own rulesets.
    if (context.kind === 'sandbox' && !spec.namespaces.pid) plan.op('inside', 'landlock', 'Hold', slot);
  },
};

/** The ruleset in force: the kernel's Landlock ABI, and the rights that it handles. */
export interface Ruleset {
  readonly abi: number;
  readonly fs: number;
  readonly net: number;
  readonly scoped: number;
  readonly paths: readonly PathRule[];
  readonly ports: readonly { readonly port: number; readonly rights: number; readonly origin: string }[];
}

const tcp = { bindTcp: 1, connectTcp: 2 } as const;
/** Number of rights on files that the kernel supports, by ABI. */
const rightsByAbi = [0, 13, 14, 15, 15, 16] as const;
const netAbi = 4;
const scopeAbi = 6;

/** Returns the ruleset of a sandbox's programs, reduced to what the kernel supports; undefined for none. */
export function landlockFor(spec: Spec, context: Pick<Context, 'host' | 'kind' | 'parked' | 'hidden'>): Ruleset | undefined {
  const { level, bindTcp, connectTcp } = spec.landlock;
  const abi = context.host.landlockAbi;
  if (level === 'off' || abi === 0) return undefined;
  const wanted =
    spec.landlock.paths?.flatMap((rule) =>
      rule.path === 'system' ? systemPaths(context.host, rule.origin, context.hidden ?? []) : [rule],
    ) ?? defaultPaths(spec);
  const known = 2 ** (rightsByAbi[Math.min(abi, rightsByAbi.length - 1)] ?? 0) - 1;
  const named = wanted.reduce((all, { rights }) => all | rights, 0);
  // Rights given as a number are newer than this table. The kernel reports whether it supports them.
  const fs = known | (named & ~(2 ** 16 - 1));
  const ports = abi < netAbi ? [] : (Object.keys(tcp) as (keyof typeof tcp)[]).flatMap((key) => portRules(key, spec.landlock[key]));
  return {
    abi,
    fs,
    net: abi < netAbi ? 0 : (bindTcp ? tcp.bindTcp : 0) | (connectTcp ? tcp.connectTcp : 0),
    scoped: abi < scopeAbi ? 0 : scopesOf(spec, context).reduce((all, name) => all | scopes[name], 0),
    paths: wanted.map((rule) => ({ ...rule, rights: rule.rights & fs })),
    ports,
  };
}

const portRules = (key: keyof typeof tcp, ports: readonly number[] = []): Ruleset['ports'] =>
  ports.map((port, index) => ({ port, rights: tcp[key], origin: `landlock.${key}[${index}]` }));

// Programs of one sandbox must be able to reach each other. A separate ruleset for each of them would prevent that.
const scopesOf = (spec: Spec, { kind, parked }: Pick<Context, 'kind' | 'parked'>): readonly LandlockScope[] =>
  spec.landlock.scopes ?? (spec.landlock.paths === undefined && (kind === 'run' || parked || spec.namespaces.pid) ? scopeNames : []);

/** Returns the preferred parts that the kernel lacks. Throws NsError ERR_NSJS_UNSUPPORTED for required parts. */
export function landlockDropped(spec: Spec, { landlockAbi: abi }: Host, kind: Pick<Context, 'kind' | 'parked'>): readonly Dropped[] {
  const { level, bindTcp, connectTcp } = spec.landlock;
  if (level === 'off') return [];
  const fix = 'boot a newer kernel, with landlock in CONFIG_LSM or in lsm= on its command line';
  const lacks = (control: string, needed: number): Dropped => ({
    control,
    reason: abi === 0 ? 'this kernel has no Landlock' : `needs Landlock ABI ${needed}, this kernel has ${abi}`,
    fix,
  });
  const missing = [
    ...(abi === 0 ? [lacks('landlock', 1)] : []),
    ...(abi < netAbi && (bindTcp ?? connectTcp) ? [lacks('landlock.tcp', netAbi)] : []),
    ...(abi < scopeAbi && scopesOf(spec, kind).length > 0 ? [lacks('landlock.scopes', scopeAbi)] : []),
  ];
  const [first] = missing;
  // Landlock is required if nothing else confines access to files.
  const isNeeded = level === 'require' || (abi === 0 && !spec.namespaces.mnt && isHostUser(spec));
  if (first && isNeeded) throw new NsError('ERR_NSJS_UNSUPPORTED', `${first.control}: ${first.reason}`, { hint: fix });
  return missing;
}

function emitRuleset(
  plan: PlanWriter,
  section: 'inside' | 'program',
  { fs, net, scoped, paths, ports }: Ruleset,
  { program }: Context,
): void {
  const words = scoped !== 0 ? [fs, net, scoped] : net !== 0 ? [fs, net] : [fs];
  const slot = plan.slot('landlock');
  plan.op(section, 'landlock', 'LandlockRuleset', slot, new Uint8Array(BigUint64Array.from(words.map(BigInt)).buffer));
  for (const [index, { path, rights, origin }] of paths.entries()) {
    const opened = plan.known(pathKey(index));
    plan.op(section, origin, 'LandlockPath', slot, opened ?? noSlot, opened ? '' : path, rights >>> 0, 0);
  }
  const queues = plan.known(queuesKey);
  if (queues) plan.op(section, 'landlock', 'LandlockPath', slot, queues, '', (writeRights & fs) >>> 0, 0);
  // Init reads files there for option `verify`. No program can reach the directory.
  const proc = section === 'inside' ? plan.known(verifyProcKey) : undefined;
  if (proc) plan.op(section, 'landlock', 'LandlockPath', slot, proc, '', readRights, 0);
  for (const [number, entry] of program.stdio.entries())
    if (typeof entry === 'number' && entry >= 0) plan.op(section, `stdio[${number}]`, 'LandlockFd', slot, number, fs);
  for (const { port, rights, origin } of ports) plan.op(section, origin, 'LandlockPort', slot, port, rights);
  plan.op(section, 'landlock', 'LandlockRestrict', slot);
}

function parsePaths(given: Partial<Record<(typeof keys)[number], unknown>>, at: string): readonly PathRule[] {
  const list = (key: 'read' | 'execute' | 'write', rights: number) =>
    given[key] === undefined
      ? []
      : parseArray(given[key], `${at}.${key}`).map((path, index) => {
          const origin = `${at}.${key}[${index}]`;
          return { path: key === 'execute' && path === 'system' ? path : parseTarget(path, origin), rights, origin };
        });
  const named = given.paths === undefined ? [] : Object.entries(parseRecord(given.paths, `${at}.paths`));
  return [
    ...list('read', readRights),
    ...list('execute', executeRights),
    ...list('write', writeRights),
    ...named.map(([path, rights]) => {
      const origin = `${at}.paths[${JSON.stringify(path)}]`;
      return { path: parseTarget(path, origin), rights: parseRights(rights, origin), origin };
    }),
  ];
}

declare module './spec' {
  interface Spec {
    readonly landlock: ReturnType<(typeof landlock)['parse']>;
  }
}
