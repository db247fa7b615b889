import { parseBoolean } from '../base/parse';
import { pathFolder } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import { feature, type Scene, type Step } from './feature';
import { protectsBelowWritable } from './root/pins';
import type { Spec } from './spec';

export interface VerifyOptions {
  /**
   * Whether what is in force is read back from the kernel once the program runs, compared with what was asked for, and told in
   * `report.kernel`; a difference ends the sandbox (NsError ERR_NSJS_VERIFY). Default: true for a long-lived sandbox, whose mounts are read back when it
   * opens, and each program's capabilities, filters and ids when that starts; false for a program on its own and in a pool, where it takes a
   * twentieth of the whole. Where something below a writable directory is protected, sandboxes and pools read their mounts back before each
   * program as well, unless it is `false`: others can rename directories that they share with them.
   */
  readonly verify?: boolean;
}

export const verify = feature({
  key: 'verify',
  parse: (value, at): boolean | undefined => (value === undefined ? undefined : parseBoolean(value, at)),
});

const isVerified = (spec: Spec, { kind, single }: Scene): boolean => spec.verify ?? (kind !== 'run' && !single);

/** Whether mounts are read again before each program: a sandbox lasts long enough for others to rename what it shares with them. */
const isReadAgain = (spec: Spec, { kind }: Scene): boolean =>
  kind !== 'run' && spec.verify !== false && spec.namespaces.mnt && protectsBelowWritable(spec);

const procKey = 'verify proc';

/** The host's /proc: init reads it, also under Landlock. */
export const openVerifyProc: Step = {
  emit(plan, spec, scene) {
    if (!isVerified(spec, scene) && !isReadAgain(spec, scene)) return;
    const slot = plan.shared(procKey, () => plan.slot('verify'));
    plan.op('inside', 'verify', 'Open', slot, noSlot, '/proc', pathFolder);
  },
};

/** The slot of the host's /proc that init's own rules must let it read. */
export const verifyProcKey = procKey;

/** Once every mount is there; init sends the rest when a program has started. */
export const verifyMounts: Step = {
  scope: 'both',
  emit(plan, spec, scene) {
    if (scene.kind === 'program') {
      if (isReadAgain(spec, scene)) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
      return;
    }
    if (!isVerified(spec, scene)) return;
    if (spec.namespaces.mnt) plan.op('inside', 'verify', 'SendFile', 'self/mountinfo');
    plan.op('inside', 'verify', 'Verify');
  },
};

declare module './spec' {
  interface Spec {
    readonly verify: ReturnType<(typeof verify)['parse']>;
  }
}
