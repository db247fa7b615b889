import { getPriority } from 'node:os';
import { OptionError } from '../base/errors';
import { parseArray, parseInteger, parseObject, parseOneOf } from '../base/parse';
import { feature } from './feature';
import { callNumber, emitCall } from './hardening';

export interface SchedulingOptions {
  /**
   * Nice value of the program, -20 to 19 (setpriority(2)). A value below the caller's needs CAP_SYS_NICE. Default: the
   * caller's.
   */
  readonly nice?: number;
  /** I/O priority (ioprio_set(2)): a class, and a level from 0 (highest) to 7. Default: derived from the nice value. */
  readonly ioPriority?: { readonly class: 'realtime' | 'best-effort' | 'idle'; readonly level?: number };
  /**
   * Scheduling policy, sched(7). `fifo` and `rr` need a `priority` from 1 to 99; `deadline` needs `runtime`, `deadline`
   * and `period` in ns. These three policies need CAP_SYS_NICE. Default: the caller's.
   */
  readonly scheduler?: {
    readonly policy: SchedulerPolicy;
    readonly priority?: number;
    readonly runtime?: number;
    readonly deadline?: number;
    readonly period?: number;
  };
  /**
   * Processors on which the program may run, by number (sched_setaffinity(2)). The program can extend the set again
   * unless a cpuset forbids it. Default: the caller's.
   */
  readonly affinity?: readonly number[];
  /**
   * OOM score adjustment from -1000 to 1000: which processes the kernel kills first when memory runs out
   * (proc_pid_oom_score_adj(5)). A value below the caller's needs CAP_SYS_RESOURCE. Default: the caller's.
   */
  readonly oomScoreAdj?: number;
}

const policies = { other: 0, fifo: 1, rr: 2, batch: 3, idle: 5, deadline: 6 } as const;
type SchedulerPolicy = keyof typeof policies;
const policyNames = Object.keys(policies) as SchedulerPolicy[];
const ioClasses = { realtime: 1, 'best-effort': 2, idle: 3 } as const;
const ioClassNames = Object.keys(ioClasses) as (keyof typeof ioClasses)[];
const ioClassShift = 13;
const maxCpu = 8191;
const attrSize = 48;

export const nice = feature({
  key: 'nice',
  scope: 'program',
  parse: (value, at): number | undefined => (value === undefined ? undefined : parseInteger(value, at, -20, 19)),
  emit: (plan, spec) => spec.nice !== undefined && emitCall(plan, 'require', 'nice', 'setpriority', 0, 0, spec.nice >>> 0),
});

export const ioPriority = feature({
  key: 'ioPriority',
  scope: 'program',
  parse(value, at): number | undefined {
    if (value === undefined) return undefined;
    const given = parseObject(value, at, ['class', 'level']);
    const name = parseOneOf(given.class, `${at}.class`, ioClassNames);
    if (name === 'idle' && given.level !== undefined) throw new OptionError(`${at}.level`, "has no effect with class 'idle': leave it out");
    const level = given.level === undefined ? (name === 'idle' ? 0 : 4) : parseInteger(given.level, `${at}.level`, 0, 7);
    return (ioClasses[name] << ioClassShift) | level;
  },
  emit: (plan, spec) => spec.ioPriority !== undefined && emitCall(plan, 'require', 'ioPriority', 'ioprio_set', 1, 0, spec.ioPriority),
});

export interface SchedulerSpec {
  readonly policy: number;
  readonly priority: number;
  /** Runtime, deadline and period in ns. */
  readonly times: readonly number[];
}

export const scheduler = feature({
  key: 'scheduler',
  scope: 'program',
  parse(value, at): SchedulerSpec | undefined {
    if (value === undefined) return undefined;
    const given = parseObject(value, at, ['policy', 'priority', 'runtime', 'deadline', 'period']);
    const policy = parseOneOf(given.policy, `${at}.policy`, policyNames);
    const isRealtime = policy === 'fifo' || policy === 'rr';
    if (isRealtime !== (given.priority !== undefined))
      throw new OptionError(`${at}.priority`, "is required with policies 'fifo' and 'rr' and not allowed with others");
    const times = (['runtime', 'deadline', 'period'] as const).map((key) => {
      if ((given[key] !== undefined) !== (policy === 'deadline'))
        throw new OptionError(`${at}.${key}`, "is required with policy 'deadline' and not allowed with others");
      return given[key] === undefined ? 0 : parseInteger(given[key], `${at}.${key}`, 1024);
    });
    return { policy: policies[policy], priority: isRealtime ? parseInteger(given.priority, `${at}.priority`, 1, 99) : 0, times };
  },
  emit(plan, spec) {
    // The structure is the second argument of sched_setattr(2).
    if (spec.scheduler)
      plan.op(
        'program',
        'scheduler',
        'CallWith',
        callNumber('sched_setattr'),
        1,
        schedAttr(spec.scheduler, spec.nice ?? getPriority()),
        0,
        0,
        0,
        0,
      );
  },
});

// The first version of struct sched_attr, sched_setattr(2).
function schedAttr({ policy, priority, times }: SchedulerSpec, niceValue: number): Uint8Array {
  const bytes = Buffer.alloc(attrSize);
  bytes.writeUInt32LE(attrSize, 0);
  bytes.writeUInt32LE(policy, 4);
  // sched_setattr(2) sets the nice value as well.
  bytes.writeInt32LE(niceValue, 16);
  bytes.writeUInt32LE(priority, 20);
  for (const [index, time] of times.entries()) bytes.writeBigUInt64LE(BigInt(time), 24 + index * 8);
  return bytes;
}

export const affinity = feature({
  key: 'affinity',
  scope: 'program',
  parse(value, at): Uint8Array | undefined {
    if (value === undefined) return undefined;
    const cpus = parseArray(value, at).map((cpu, index) => parseInteger(cpu, `${at}[${index}]`, 0, maxCpu));
    if (cpus.length === 0) throw new OptionError(at, 'expected at least one processor number');
    const mask = Buffer.alloc((maxCpu + 1) / 8);
    for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
    return mask;
  },
  emit(plan, { affinity: mask }) {
    if (mask) plan.op('program', 'affinity', 'CallWith', callNumber('sched_setaffinity'), 2, mask, 0, mask.length, 0, 0);
  },
});

export const oomScoreAdj = feature({
  key: 'oomScoreAdj',
  parse: (value, at): number | undefined => (value === undefined ? undefined : parseInteger(value, at, -1000, 1000)),
  emit(plan, { oomScoreAdj: score }) {
    if (score !== undefined) plan.op('maps', 'oomScoreAdj', 'WriteInit', 'oom_score_adj', `${score}`);
  },
});

declare module './spec' {
  interface Spec {
    readonly nice: ReturnType<(typeof nice)['parse']>;
    readonly ioPriority: ReturnType<(typeof ioPriority)['parse']>;
    readonly scheduler: ReturnType<(typeof scheduler)['parse']>;
    readonly affinity: ReturnType<(typeof affinity)['parse']>;
    readonly oomScoreAdj: ReturnType<(typeof oomScoreAdj)['parse']>;
  }
}
