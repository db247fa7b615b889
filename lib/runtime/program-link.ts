import { constants } from 'node:os';
import { type LimitsSpec, noLimits } from '../cgroup/limits';
import type { Spec } from '../features/spec';
import type { Started } from '../launcher/launch';
import type { Outcome } from '../launcher/outcome';
import { HeldMemory } from '../monitor/held-memory';
import { type Overrun, Overseer, Watchdog } from '../monitor/limit-watch';
import { withProcesses } from '../monitor/source';
import type { Stats } from '../monitor/stats';
import { descendants, isRunning } from '../proc/processes';
import type { Link } from '../run/link';
import type { Run } from '../run/run';
import { Timers } from '../run/timers';
import { PidFd } from '../sys/pidfd';
import { killEach } from './kill-each';
import type { Pauser } from './pause';
import type { OwnGroup } from './program-group';

// Init holds the clock; it may be slow where its sandbox has used its CPU time up.
const backupMs = 50;
const rememberMs = [200, 20];
/** Processes that are ended with a program. */
export const maxTree = 256;

/** What programs need of their sandbox. */
export interface ProgramHost {
  readonly spec: Spec;
  readonly started: Started;
  /** What its cgroups hold it to now. */
  readonly limits: LimitsSpec;
  readonly outcome: Outcome;
  readonly pauser: Pick<Pauser, 'isPaused'>;
  holdLoop(): void;
}

/** The way from a run to its program in a long-lived sandbox. */
export class ProgramLink implements Link {
  readonly session: Started['session'];
  readonly plan: Started['plan'];
  readonly scene: Started['scene'];
  readonly ours: Started['ours'];
  readonly prepared = undefined;
  readonly forget: Started['forget'];
  run: Run | undefined;
  pid: number | undefined;
  isHeld = true;
  private readonly timers = new Timers();
  private watchdog: Watchdog | undefined;
  private readonly kept = new Map<number, PidFd>();

  /** Where it has limits of its own. */
  readonly group: OwnGroup | undefined;
  /** Whether all that the program has started ends with it, where that is ended. */
  private readonly endsTree: boolean;

  constructor(
    started: Started,
    readonly id: number,
    { group, endsTree }: { readonly group: OwnGroup | undefined; readonly endsTree: boolean },
    private readonly sandbox: Pick<ProgramHost, 'limits' | 'holdLoop'>,
    private readonly giveUp: () => void,
  ) {
    ({ session: this.session, plan: this.plan, scene: this.scene, ours: this.ours } = started);
    this.forget = started.forget;
    this.group = group;
    this.endsTree = endsTree;
  }

  signal(number: number): void {
    this.session.signal(number, this.id);
  }

  /** The program is about to end: remembers its descendants, which cannot be found by descent once it has exited. */
  ending(): void {
    if (!this.endsTree || this.group || this.pid === undefined) return;
    const added = this.tree()
      .slice(0, maxTree)
      .filter((pid) => !this.kept.has(pid) && this.kept.size < maxTree)
      .flatMap((pid) => {
        try {
          return [[pid, PidFd.open(pid)] as const];
        } catch {
          // It has ended.
          return [];
        }
      });
    // A number could have become another process's before it was opened: what does not descend from the program is left alone.
    const still = new Set(this.tree());
    for (const [pid, pidfd] of added)
      if (still.has(pid)) this.kept.set(pid, pidfd);
      else pidfd.close();
  }

  end(): void {
    this.ending();
    if (this.endsTree || !this.group?.isTree) this.group?.kill();
    this.signal(constants.signals.SIGKILL);
    this.killTree();
    this.giveUp();
  }

  private killTree(): void {
    for (const pidfd of this.kept.values()) {
      try {
        pidfd.kill('SIGKILL');
      } catch {
        // It has ended.
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
    const { memory, pids } = this.scene.ownLimits ?? noLimits;
    return (
      found && {
        time: Date.now(),
        ...found,
        memory: { ...found.memory, ...(memory === undefined ? {} : { limit: memory }) },
        pids: { ...found.pids, ...(pids === undefined ? {} : { limit: pids }) },
      }
    );
  }

  started(): void {
    const { ownLimits = noLimits, group } = this.scene;
    const { wallTime } = ownLimits;
    if (wallTime !== undefined) {
      // Init kills the program alone, so its descendants are remembered shortly before: twice, since a busy loop may be late.
      for (const ms of rememberMs) this.timers.after(Math.max(0, wallTime - ms), () => this.ending());
      this.timers.after(wallTime + backupMs, () => this.onOverrun('wallTime'));
    }
    const counted = { version: group ? this.scene.cgroups.version : undefined, countsCpu: group?.usageFd !== undefined };
    const { pid = 0 } = this;
    const held = new HeldMemory();
    const overseer = Overseer.for(ownLimits, counted, {
      stats: () => this.stats(),
      held: () => held.read(pid),
      runs: () => isRunning(pid),
    });
    this.watchdog = overseer && new Watchdog(overseer, (overrun) => this.onOverrun(overrun));
  }

  gone(): void {
    this.timers.clear();
    this.watchdog?.stop();
    const { stopped, ended } = this.run?.outcome ?? {};
    const wasEnded = this.endsTree && (stopped !== undefined || ended?.cause !== undefined);
    if (wasEnded) this.killTree();
    else this.forgetTree();
    if (this.group?.isTree && !wasEnded) this.group.leave();
    else void this.group?.remove();
  }

  // Without a group that can be killed, all that descends from it.
  private onOverrun(overrun: Overrun): void {
    const below = this.group ? [] : this.tree();
    this.run?.overrun(overrun);
    if (below.length > 0) killEach(below, () => this.tree());
  }

  // All that the program has started and that runs now.
  private tree(): readonly number[] {
    return this.pid === undefined ? [] : descendants(this.pid).slice(1);
  }
}
