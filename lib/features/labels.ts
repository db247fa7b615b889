import { existsSync } from 'node:fs';
import { NsError, OptionError } from '../base/errors';
import { parseString } from '../base/parse';
import { pathDirectory } from '../native/open-flags';
import { noSlot } from '../plan/operation';
import type { PlanWriter } from '../plan/writer';
import { feature, type Step } from './feature';

export interface LabelOptions {
  /**
   * AppArmor profile of the program, as `process.apparmorProfile` of the OCI runtime spec. It must be loaded. Default:
   * the profile is not changed.
   */
  readonly apparmorProfile?: string;
  /**
   * SELinux label of the program, as `process.selinuxLabel` of the OCI runtime spec. Default: the label is not changed.
   */
  readonly selinuxLabel?: string;
}

const procKey = 'host proc';

const parseLabel = (value: unknown, at: string): string | undefined => {
  if (value === undefined) return undefined;
  const label = parseString(value, at);
  if (label === '' || /\s/.test(label)) throw new OptionError(at, 'must not be empty or contain white space');
  return label;
};

/** Opens the host's /proc before the root changes: files at /proc inside could be something else (CVE-2025-52881). */
export const openLabels: Step = {
  scope: 'both',
  emit(plan, spec, { kind }) {
    if (spec.apparmorProfile === undefined && spec.selinuxLabel === undefined) return;
    if (kind !== 'run')
      throw new OptionError(spec.selinuxLabel === undefined ? 'apparmorProfile' : 'selinuxLabel', 'is only supported for one-shot runs');
    const slot = plan.shared(procKey, () => plan.slot('labels'));
    plan.op('inside', 'labels', 'Open', slot, noSlot, '/proc', pathDirectory);
  },
};

function emitLabel(plan: PlanWriter, origin: string, module: string, file: string, text: string): void {
  if (!existsSync(module))
    throw new NsError('ERR_NSJS_UNSUPPORTED', `${origin}: this security module is not active on this machine`, {
      hint: 'leave the option out, or boot with the module in lsm= on the kernel command line',
    });
  plan.op('program', origin, 'WriteFile', plan.known(procKey) ?? noSlot, file, text);
}

export const apparmorProfile = feature({
  key: 'apparmorProfile',
  scope: 'program',
  parse: parseLabel,
  emit(plan, { apparmorProfile: profile }) {
    const file = existsSync('/proc/self/attr/apparmor/exec') ? 'thread-self/attr/apparmor/exec' : 'thread-self/attr/exec';
    if (profile !== undefined) emitLabel(plan, 'apparmorProfile', '/sys/module/apparmor/parameters/enabled', file, `exec ${profile}`);
  },
});

export const selinuxLabel = feature({
  key: 'selinuxLabel',
  scope: 'program',
  parse: parseLabel,
  emit(plan, { selinuxLabel: label }) {
    if (label !== undefined) emitLabel(plan, 'selinuxLabel', '/sys/fs/selinux', 'thread-self/attr/exec', label);
  },
});

declare module './spec' {
  interface Spec {
    readonly apparmorProfile: ReturnType<(typeof apparmorProfile)['parse']>;
    readonly selinuxLabel: ReturnType<(typeof selinuxLabel)['parse']>;
  }
}
