import { constants } from 'node:os';
import { type LimitsSpec, noLimits } from '../cgroup/limits';
import type { Spec } from '../features/spec';
import type { Launched } from '../launcher/launch';
import type { Outcome } from '../launcher/outcome';
import { HeldMemory } from '../monitor/held-memory';
import { type Overrun, Overseer, Watchdog } from '../monitor/limit-watch';
import { withProcesses } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { descendants, isRunning } from '../proc/processes';
import type { Link } from '../run/link';
import type { Run } from '../run/run';
import { Timers } from '../run/timeout';
import { PidFd } from '../sys/pidfd';
import { killEach } from './kill-each';
import type { Pauser } from './pause';
import type { OwnGroup } from './program-group';

// Init enforces the time limit. It may be late in a sandbox that has used up its CPU quota, so this process does it
// after this delay.
const backupMs = 50;
const rememberMs = [200, 20];
/** Maximum number of descendants that are killed with a program. */
export const maxTree = 256;

/** The parts of a sandbox that its programs use. */
export interface ProgramHost {
  readonly spec: Spec;
  readonly launched: Launched;
  /** Limits that the sandbox's cgroups enforce now. */
  readonly limits: LimitsSpec;
  readonly outcome: Outcome;
  readonly pauser: Pick<Pauser, 'isPaused'>;
  holdLoop(): void;
}

/** The parts of a sandbox that belong to one program. */
interface OwnResources {
  readonly id: number;
  /** The program's cgroup, if it has one of its own. */
  readonly group: OwnGroup | undefined;
  /** Whether ending the program also ends all processes that it has started. */
  readonly endsTree: boolean;
}

/** Connects a run to its program in a long-lived sandbox. */
export class ProgramLink implements Link {
  run: Run | undefined;
  pid: number | undefined;
  isHeld = true;
  private readonly timers = new Timers();
  private watchdog: Watchdog | undefined;
  private readonly kept = new Map<number, PidFd>();

  constructor(
    readonly launched: Launched,
    readonly outcome: Outcome,
    private readonly own: OwnResources,
    private readonly sandbox: Pick<ProgramHost, 'limits' | 'holdLoop'>,
    private readonly giveUp: () => void,
  ) {}

  get id(): number {
    return this.own.id;
  }

  get group(): OwnGroup | undefined {
    return this.own.group;
  }

  signal(number: number): void {
    this.launched.session.signal(number, this.id);
  }

  /**
   * Called before the program is ended: remembers its descendants, which cannot be found by descent once it has exited.
   */
  onStopping(): void {
    if (!this.own.endsTree || this.group || this.pid === undefined) return;
    const added = this.tree()
      .slice(0, maxTree)
      .filter((pid) => !this.kept.has(pid) && this.kept.size < maxTree)
      .flatMap((pid) => {
        try {
          return [[pid, PidFd.open(pid)] as const];
        } catch {
          // The process has exited.
          return [];
        }
      });
    // A pid may have been reused before it was opened. A process that does not descend from the program is left alone.
    const still = new Set(this.tree());
    for (const [pid, pidfd] of added)
      if (still.has(pid)) this.kept.set(pid, pidfd);
      else pidfd.close();
  }

  end(): void {
    this.onStopping();
    if (this.own.endsTree || !this.group?.isTree) this.group?.kill();
    this.signal(constants.signals.SIGKILL);
    this.killTree();
    this.giveUp();
  }

  private killTree(): void {
    for (const pidfd of this.kept.values()) {
      try {
        pidfd.kill('SIGKILL');
      } catch {
        // The process has exited.
      }
    }
    this.forgetTree();
  }

  private forgetTree(): void {
    for (const pidfd of this.kept.values()) pidfd.close();
    this.kept.clear();
  }

  ref(on: boolean): void {
    this.isHeld = on;
    this.sandbox.holdLoop();
  }

  get limits(): LimitsSpec {
    return this.sandbox.limits;
  }

  stats(): Stats | undefined {
    const found = withProcesses(this.group?.stats(), this.pid);
    const { memory, pids } = this.launched.context.ownLimits ?? noLimits;
    return (
      found && {
        time: Date.now(),
        ...found,
        memory: { ...found.memory, ...(memory === undefined ? {} : { limit: memory }) },
        pids: { ...found.pids, ...(pids === undefined ? {} : { limit: pids }) },
      }
    );
  }

  onStarted(): void {
    const { ownLimits = noLimits, group } = this.launched.context;
    const { wallTime } = ownLimits;
    if (wallTime !== undefined) {
      // Init kills only the program, so its descendants are remembered shortly before: twice, since a busy event loop
      // may delay the timers.
      for (const ms of rememberMs) this.timers.after(Math.max(0, wallTime - ms), () => this.onStopping());
      this.timers.after(wallTime + backupMs, () => this.onOverrun('wallTime'));
    }
    const counted = { version: group ? this.launched.context.cgroups.version : undefined, countsCpu: group?.usageFd !== undefined };
    const { pid = 0 } = this;
    const held = new HeldMemory();
    const overseer = Overseer.for(ownLimits, counted, {
      stats: () => this.stats(),
      held: () => held.read(pid),
      runs: () => isRunning(pid),
    });
    this.watchdog = overseer && new Watchdog(overseer, (overrun) => this.onOverrun(overrun));
  }

  onGone(): void {
    this.timers.clear();
    this.watchdog?.stop();
    const { stopped, ended } = this.outcome;
    const wasEnded = this.own.endsTree && (stopped !== undefined || ended?.cause !== undefined);
    if (wasEnded) this.killTree();
    else this.forgetTree();
    if (this.group?.isTree && !wasEnded) this.group.leave();
    else void this.group?.remove();
  }

  // Without a group that can be killed, kills all descendants of the program.
  private onOverrun(overrun: Overrun): void {
    const below = this.group ? [] : this.tree();
    this.run?.overrun(overrun);
    if (below.length > 0) killEach(below, () => this.tree());
  }

  // The running processes that the program has started.
  private tree(): readonly number[] {
    return this.pid === undefined ? [] : descendants(this.pid).slice(1);
  }
}
