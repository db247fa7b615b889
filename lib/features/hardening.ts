import { parseObject, parseOneOf } from '../base/parse';
import type { PlanWriter } from '../plan/writer';
import { type Arch, archTables } from '../seccomp/tables';
import { feature } from './feature';

/**
 * Importance of a control: `'require'` throws an error if the kernel lacks it, `'prefer'` drops and reports it, `'off'`
 * does not apply it.
 */
export type Level = 'require' | 'prefer' | 'off';

export interface HardeningOptions {
  /**
   * Memory of the program that was writable cannot become executable, nor vice versa (PR_SET_MDWE(2const), Linux 6.3).
   * Default 'off', because just-in-time compilers need such memory.
   */
  readonly memoryDenyWriteExecute?: Level;
  /**
   * No other process runs on the same core at the same time as the program's processes (PR_SCHED_CORE, Linux 5.14;
   * requires simultaneous multithreading). Default 'off'.
   */
  readonly coreScheduling?: Level;
  /**
   * Reading the time stamp counter raises SIGSEGV (PR_SET_TSC(2const), x64). This includes library clocks that read it.
   * Default 'off'.
   */
  readonly tscDeny?: Level;
  /**
   * Permanent mitigations of speculative execution: `storeBypass`, `indirectBranch`, `l1dFlush`
   * (PR_SET_SPECULATION_CTRL(2const), Linux 4.17). Default 'off'.
   */
  readonly speculation?: { readonly [M in Mitigation]?: Level };
}

const mitigations = { storeBypass: 0, indirectBranch: 1, l1dFlush: 2 } as const;
type Mitigation = keyof typeof mitigations;
const mitigationNames = Object.keys(mitigations) as Mitigation[];
export type SpeculationSpec = Readonly<Record<Mitigation, Level>>;

const options = { setTsc: 26, setSpeculation: 53, schedCore: 62, setMdwe: 65 } as const;
const refuseExecGain = 1;
const createCookie = 1;
const threadGroup = 1;
const tscSigsegv = 2;
const forceDisable = 8;
const enable = 2;

export const levels = ['require', 'prefer', 'off'] as const;
const parseLevel = (value: unknown, at: string): Level => (value === undefined ? 'off' : parseOneOf(value, at, levels));

/** Returns the number of a system call on this machine, for operations that consist of one call. */
export const callNumber = (name: string): number => archTables[process.arch as Arch].numbers[name] ?? 0;

/** Emits one system call; with level `'prefer'` the operation is optional. */
export function emitCall(plan: PlanWriter, level: Level, origin: string, name: string, ...args: readonly number[]): void {
  if (level === 'off') return;
  const all = [...args, 0, 0, 0, 0, 0].slice(0, 5);
  const emit = () => plan.op('program', origin, 'Call', callNumber(name), ...all);
  if (level === 'prefer') plan.optional('program', emit);
  else emit();
}

const control = <const Key extends 'memoryDenyWriteExecute' | 'coreScheduling' | 'tscDeny'>(key: Key, ...args: readonly number[]) =>
  feature({
    key,
    scope: 'program',
    parse: parseLevel,
    emit: (plan, spec) => emitCall(plan, spec[key], key, 'prctl', ...args),
  });

export const memoryDenyWriteExecute = control('memoryDenyWriteExecute', options.setMdwe, refuseExecGain);
export const coreScheduling = control('coreScheduling', options.schedCore, createCookie, 0, threadGroup);
export const tscDeny = control('tscDeny', options.setTsc, tscSigsegv);

export const speculation = feature({
  key: 'speculation',
  scope: 'program',
  parse(value = {}, at): SpeculationSpec {
    const given = parseObject(value, at, mitigationNames);
    return Object.fromEntries(mitigationNames.map((name) => [name, parseLevel(given[name], `${at}.${name}`)])) as SpeculationSpec;
  },
  emit(plan, spec) {
    for (const name of mitigationNames) {
      // Flushing is a service that is enabled; the other modes disable speculation.
      const mode = name === 'l1dFlush' ? enable : forceDisable;
      emitCall(plan, spec.speculation[name], `speculation.${name}`, 'prctl', options.setSpeculation, mitigations[name], mode);
    }
  },
});

declare module './spec' {
  interface Spec {
    readonly memoryDenyWriteExecute: Level;
    readonly coreScheduling: Level;
    readonly tscDeny: Level;
    readonly speculation: ReturnType<(typeof speculation)['parse']>;
  }
}
