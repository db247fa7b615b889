import { OptionError } from '../base/errors';
import { bare, parseInteger, parseObject } from '../base/parse';
import type { PlanWriter } from '../plan/writer';
import { feature } from './feature';
import { standIns } from './stand-ins';

/** Resources of getrlimit(2) by name, and their numbers. */
const resources = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export type Resource = keyof typeof resources;

/** A limit of getrlimit(2): one value for soft and hard limit, or each of them. `'unlimited'` is RLIM_INFINITY. */
export type Rlimit = number | 'unlimited' | { readonly soft: number | 'unlimited'; readonly hard: number | 'unlimited' };

export interface RlimitsOptions {
  /**
   * Limits of each process, in the units of getrlimit(2). They replace the caller's limits. The preset sets `core` to 1
   * (no core file, and no handler of the host's core_pattern runs either, core(5)), `nofile`, `memlock`, `msgqueue` and
   * `sigpending`. Raising a hard limit above the caller's needs CAP_SYS_RESOURCE.
   */
  readonly rlimits?: { readonly [R in Resource]?: Rlimit };
}

interface Pair {
  readonly soft: number;
  readonly hard: number;
}

export type RlimitsSpec = { readonly [R in Resource]?: Pair };

const unlimited = Number.POSITIVE_INFINITY;
const names = Object.keys(resources) as Resource[];

export const rlimits = feature({
  key: 'rlimits',
  scope: 'program',
  parse(value = {}, at): RlimitsSpec {
    const given = parseObject(value, at, names);
    const pairs = names.filter((name) => given[name] !== undefined).map((name) => [name, parsePair(given[name], `${at}.${name}`)]);
    return Object.fromEntries(pairs) as RlimitsSpec;
  },
  emit(plan, spec, context) {
    const { cpuTime, fileSize, openFiles } = spec.limits;
    const held: readonly string[] = standIns(spec, context);
    const taken: Readonly<Partial<Record<Resource, number | undefined>>> = bare({
      cpu: cpuTime,
      fsize: fileSize,
      nofile: openFiles,
    });
    for (const name of names) {
      const pair = spec.rlimits[name];
      // `limits` sets the same resources and takes precedence. If `limits.cpuTime` applies to all processes together,
      // it emits `rlimits.cpu` as well.
      if (pair && taken[name] === undefined && !held.includes(name)) emitRlimit(plan, `rlimits.${name}`, name, pair);
    }
  },
});

export function emitRlimit(plan: PlanWriter, origin: string, name: Resource, { soft, hard }: Pair): void {
  plan.op('program', origin, 'Rlimit', resources[name], ...words(soft), ...words(hard));
}

function parsePair(value: unknown, at: string): Pair {
  if (typeof value !== 'object') {
    const both = parseValue(value, at);
    return { soft: both, hard: both };
  }
  const { soft, hard } = parseObject(value, at, ['soft', 'hard']);
  const pair = { soft: parseValue(soft, `${at}.soft`), hard: parseValue(hard, `${at}.hard`) };
  if (pair.soft > pair.hard) throw new OptionError(`${at}.soft`, 'is above the hard limit');
  return pair;
}

function parseValue(value: unknown, at: string): number {
  return value === 'unlimited' ? unlimited : parseInteger(value, at, 0);
}

function words(value: number): readonly [low: number, high: number] {
  return value === unlimited ? [0xffffffff, 0xffffffff] : [value % 2 ** 32, Math.floor(value / 2 ** 32)];
}

declare module './spec' {
  interface Spec {
    readonly rlimits: ReturnType<(typeof rlimits)['parse']>;
  }
}
