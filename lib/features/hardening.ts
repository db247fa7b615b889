import { parseObject, parseOneOf } from '../base/parse';
import type { PlanWriter } from '../plan/writer';
import { type Arch, archTables } from '../seccomp/tables';
import { feature } from './feature';

/** How much a control matters: an error where the kernel lacks it, dropped and reported, or not asked for. */
export type Level = 'require' | 'prefer' | 'off';

export interface HardeningOptions {
  /**
   * No memory of the program that was writable can become executable, nor the other way round (PR_SET_MDWE(2const), Linux 6.3).
   * Default 'off': compilers at run time need it.
   */
  readonly memoryDenyWriteExecute?: Level;
  /**
   * The program's processes share a core with nobody else's at a time (PR_SCHED_CORE, Linux 5.14; needs simultaneous
   * multithreading). Default 'off'.
   */
  readonly coreScheduling?: Level;
  /** Reading the time stamp counter ends in SIGSEGV (PR_SET_TSC(2const), x64), for clocks of libraries as well. Default 'off'. */
  readonly tscDeny?: Level;
  /** Mitigations of speculation, for good: `storeBypass`, `indirectBranch`, `l1dFlush` (PR_SET_SPECULATION_CTRL(2const), Linux 4.17). Default 'off'. */
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

/** Number of a system call on this machine, for operations that are one call. */
export const callNumber = (name: string): number => archTables[process.arch as Arch].numbers[name] ?? 0;

/** One call that may be left out where it is only preferred. */
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
      // Flushing is a service that is switched on; the others are speculation that is switched off.
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
