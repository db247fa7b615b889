import { parseBoolean } from '../parse';
import { noSlot } from '../plan/writer';
import { feature, type Step } from './feature';
import type { Spec } from './index';
import { fixedTargets } from './pins';

export interface VerifyOptions {
  /**
   * Whether what is in force is read back from the kernel once the program runs, compared with what was asked for, and told in
   * `report.kernel`; a difference ends the sandbox (NsError ERR_NSJS_VERIFY). Default: true for a sandbox that stays, whose mounts are read back when it
   * opens (and, where something below a writable directory is protected, with each program), and each program's capabilities, filters and ids when that starts; false for a program on its own, where it takes a twentieth of the whole.
   */
  readonly verify?: boolean;
}

export const verify = feature({
  key: 'verify',
  parse: (value, at): boolean | undefined => (value === undefined ? undefined : parseBoolean(value, at)),
});

const isVerified = (spec: Spec, kind: 'run' | 'sandbox' | 'program'): boolean => spec.verify ?? kind !== 'run';
const pathFolder = 0o10200000; // O_PATH | O_DIRECTORY
const procKey = 'verify proc';

/** The host's /proc: init reads it, also under Landlock. */
export const openVerifyProc: Step = {
  emit(plan, spec, { kind }) {
    if (!isVerified(spec, kind)) return;
    const slot = plan.shared(procKey, () => plan.slot('verify'));
    plan.op('inside', 'verify', 'Open', slot, noSlot, '/proc', pathFolder);
  },
};

/** The slot of the host's /proc that init's own rules must let it read. */
export const verifyProcKey = procKey;

/** Once every mount is there; init sends the rest when a program has started. */
export const verifyMounts: Step = {
  scope: 'both',
  emit(plan, spec, { kind, single }) {
    if (!isVerified(spec, kind)) return;
    if (kind === 'program') {
      // Processes outside can rename directories that they share with the sandbox. Reading the mounts again shows it before a program starts.
      if (!single && spec.namespaces.mnt && fixedTargets(spec).length > 0) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
      return;
    }
    if (spec.namespaces.mnt) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
    plan.op('inside', 'verify', 'Verify');
  },
};
