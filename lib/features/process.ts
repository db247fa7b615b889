import { parseBoolean, parseInteger, parseOneOf } from '../base/parse';
import { feature } from './feature';
import { emitCall } from './hardening';

export interface ProcessOptions {
  /**
   * Runs the program in a new session without a controlling terminal (setsid(2)), so that it cannot inject input into
   * the caller's terminal. Default true.
   */
  readonly newSession?: boolean;
  /**
   * Gives the program a new session keyring (keyctl(2)), so that it cannot read the caller's keys. `'prefer'`: only if
   * the call is permitted. Default true.
   */
  readonly keyring?: boolean | 'prefer';
  /** File mode creation mask, umask(2). Default 0o022. */
  readonly umask?: number;
  /**
   * Execution domain, personality(2): `'linux32'` makes uname(2) report a 32-bit machine, `'no-randomize'` disables
   * address space randomization, for debuggers. Default: the caller's.
   */
  readonly personality?: 'linux' | 'linux32' | 'no-randomize';
}

const personalities = { linux: 0, linux32: 8, 'no-randomize': 0x0040000 } as const;
const personalityNames = Object.keys(personalities) as (keyof typeof personalities)[];

export const personality = feature({
  key: 'personality',
  scope: 'program',
  parse: (value, at): number | undefined => (value === undefined ? undefined : personalities[parseOneOf(value, at, personalityNames)]),
  emit: (plan, spec) => spec.personality !== undefined && emitCall(plan, 'require', 'personality', 'personality', spec.personality),
});

export const newSession = feature({
  key: 'newSession',
  scope: 'program',
  parse: (value = true, at): boolean => parseBoolean(value, at),
  emit: (plan, spec) => spec.newSession && plan.op('beside', 'newSession', 'Session'),
});

export const keyring = feature({
  key: 'keyring',
  scope: 'program',
  parse: (value = true, at): boolean | 'prefer' => (value === 'prefer' ? value : parseBoolean(value, at)),
  emit(plan, { keyring: wanted }) {
    if (wanted === true) plan.op('program', 'keyring', 'Keyring');
    if (wanted === 'prefer') plan.optional('program', () => plan.op('program', 'keyring', 'Keyring'));
  },
});

export const umask = feature({
  key: 'umask',
  scope: 'program',
  parse: (value = 0o022, at): number => parseInteger(value, at, 0, 0o777),
  emit: (plan, spec) => plan.op('program', 'umask', 'Umask', spec.umask),
});

declare module './spec' {
  interface Spec {
    readonly personality: ReturnType<(typeof personality)['parse']>;
    readonly newSession: ReturnType<(typeof newSession)['parse']>;
    readonly keyring: ReturnType<(typeof keyring)['parse']>;
    readonly umask: ReturnType<(typeof umask)['parse']>;
  }
}
