import { channel } from 'node:diagnostics_channel';
import { clearTimeout, setTimeout } from 'node:timers';
import { boundedText } from '../proc/bounded-text';
import { descendants } from '../proc/processes';
import { parseStat } from '../proc/stat';

/** A process in uninterruptible sleep (state D), which the kernel cannot kill until the sleep ends. */
export interface StuckProcess {
  /** Pid on the host. */
  readonly pid: number;
  readonly name: string;
  /** Kernel function in which it sleeps, proc_pid_wchan(5). Empty if this process may not read it. */
  readonly waitsIn: string;
}

const patienceMs = 1000;
const told = channel('nsjs:stuck');

/** Looks for processes of a sandbox that still exist one second after it was killed. */
export class StuckWatch {
  private timer: NodeJS.Timeout | undefined;

  /** `outcome` reports when the sandbox is killed, and receives the processes found. */
  constructor(
    private readonly outcome: { whenEnding(act: () => void): void; noteStuck(found: readonly StuckProcess[]): void },
    private readonly init: () => number | undefined,
    private readonly tell: (stuck: readonly StuckProcess[]) => void,
  ) {
    outcome.whenEnding(() => this.start());
  }

  private start(): void {
    this.timer ??= setTimeout(() => this.look(), patienceMs).unref();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private look(): void {
    const init = this.init();
    const stuck = init === undefined ? [] : descendants(init).flatMap((pid) => describe(pid) ?? []);
    if (stuck.length === 0) return;
    if (told.hasSubscribers) told.publish({ init, stuck });
    this.outcome.noteStuck(stuck);
    this.tell(stuck);
  }
}

function describe(pid: number): StuckProcess | undefined {
  const stat = parseStat(boundedText(`/proc/${pid}/stat`));
  if (stat?.state !== 'D') return undefined;
  const waitsIn = boundedText(`/proc/${pid}/wchan`);
  return { pid, name: stat.name, waitsIn: waitsIn === '0' ? '' : waitsIn };
}
