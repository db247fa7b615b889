import { parseBoolean } from '../base/parse';
import { pathDirectory } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import { type Context, feature, type Step } from './feature';
import { protectsBelowWritable } from './root/pins';
import type { Spec } from './spec';

export interface VerifyOptions {
  /**
   * Whether nsjs reads the settings in force back from the kernel once the program runs, compares them with the
   * requested ones and reports them in `report.kernel`. A difference ends the sandbox (NsError ERR_NSJS_VERIFY).
   * Default: true for a long-lived sandbox, whose mounts are read when it opens, and each program's capabilities,
   * filters and ids when that program starts; false for a one-shot run and in a pool, where verification takes a
   * twentieth of the total time. If something below a writable directory is protected, sandboxes and pools also read
   * their mounts before each program, unless this option is `false`: others can rename directories that they share with
   * the sandbox.
   */
  readonly verify?: boolean;
}

export const verify = feature({
  key: 'verify',
  parse: (value, at): boolean | undefined => (value === undefined ? undefined : parseBoolean(value, at)),
});

const isVerified = (spec: Spec, { kind, parked }: Context): boolean => spec.verify ?? (kind !== 'run' && !parked);

/**
 * Whether mounts are read again before each program. A sandbox lives long enough for others to rename directories that
 * they share with it.
 */
const isReadAgain = (spec: Spec, { kind }: Context): boolean =>
  kind !== 'run' && spec.verify !== false && spec.namespaces.mnt && protectsBelowWritable(spec);

const procKey = 'verify proc';

/** Opens the host's /proc, which init reads even under Landlock. */
export const openVerifyProc: Step = {
  emit(plan, spec, context) {
    if (!isVerified(spec, context) && !isReadAgain(spec, context)) return;
    const slot = plan.shared(procKey, () => plan.slot('verify'));
    plan.op('inside', 'verify', 'Open', slot, noSlot, '/proc', pathDirectory);
  },
};

/** Key of the slot with the host's /proc. Init's own Landlock rules must allow reading it. */
export const verifyProcKey = procKey;

/** Sends the mounts when all of them are in place. Init sends the other files when a program has started. */
export const verifyMounts: Step = {
  scope: 'both',
  emit(plan, spec, context) {
    if (context.kind === 'program') {
      if (isReadAgain(spec, context)) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
      return;
    }
    if (!isVerified(spec, context)) return;
    if (spec.namespaces.mnt) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
    plan.op('inside', 'verify', 'Verify');
  },
};

declare module './spec' {
  interface Spec {
    readonly verify: ReturnType<(typeof verify)['parse']>;
  }
}
