import { parseInteger, parseObject } from '../base/parse';
import { noSlot } from '../plan/operation';
import { feature, type Step } from './feature';

export interface TimeOptions {
  /**
   * Offsets in ms that are added to the host's clocks inside: `boottime` (shown by uptime(1)) and `monotonic`;
   * time_namespaces(7), Linux 5.6. Implies a new time namespace. The real-time clock is always the host's.
   */
  readonly time?: { readonly boottime?: number; readonly monotonic?: number };
}

export interface TimeSpec {
  readonly boottime: number;
  readonly monotonic: number;
}

const offsetsFile = '/proc/self/timens_offsets';
const most = 2 ** 51;

export const time = feature({
  key: 'time',
  parse(value, at): TimeSpec | undefined {
    if (value === undefined) return undefined;
    const { boottime = 0, monotonic = 0 } = parseObject(value, at, ['boottime', 'monotonic']);
    return {
      boottime: parseInteger(boottime, `${at}.boottime`, -most, most),
      monotonic: parseInteger(monotonic, `${at}.monotonic`, -most, most),
    };
  },
});

/** Writes the offsets when init has created the namespace and before any process is in it. */
export const timeOffsets: Step = {
  emit(plan, { time: offsets }) {
    if (!offsets) return;
    const text = `monotonic ${seconds(offsets.monotonic)}\nboottime ${seconds(offsets.boottime)}\n`;
    // Init can write its own /proc files only while it is dumpable. Nothing else is in the sandbox yet.
    plan.op('inside', 'time', 'Dumpable', 1);
    plan.op('inside', 'time', 'WriteFile', noSlot, offsetsFile, text);
    plan.op('inside', 'time', 'Dumpable', 0);
  },
};

function seconds(ms: number): string {
  const whole = Math.floor(ms / 1000);
  return `${whole} ${(ms - whole * 1000) * 1_000_000}`;
}

declare module './spec' {
  interface Spec {
    readonly time: ReturnType<(typeof time)['parse']>;
  }
}
