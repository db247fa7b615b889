import { constants } from 'node:os';
import { NsError } from '../base/errors';
import { bare } from '../base/parse';
import { type LimitsSpec, noLimits } from '../cgroup/limits';
import type { Context, Dropped, Program } from '../features/feature';
import { Outcome, type Reason, type TimeLimit } from '../launcher/outcome';
import { type LaunchRecord, recordKind } from '../launcher/record';
import { sharing } from '../launcher/shared-descriptors';
import type { ParsedOptions } from '../options/options';
import { PlanWriter } from '../plan/writer';
import type { RunEvents } from '../run/link';
import { Run } from '../run/run';
import { planFor } from '../setup/plan-cache';
import { OomWatch } from './oom-watch';
import { OwnGroup } from './program-group';
import { maxTree, type ProgramHost, ProgramLink } from './program-link';

// Other processes may hold a program's pipes open after it has exited. The pipes are closed once nothing more has
// arrived for this long.
const idleMs = 100;
const insideSection = 1;

/** Limits of one program that no cgroup enforces. */
function weaker(limits: LimitsSpec = noLimits, group: OwnGroup | undefined): readonly Dropped[] {
  const counted = { memory: group?.counts('memory'), cpuTime: group?.counts('cpu'), idle: group?.counts('cpu') };
  return (['memory', 'cpuTime', 'idle'] as const)
    .filter((name) => limits[name] !== undefined && !counted[name])
    .map((name) => ({
      control: `limits.${name}`,
      reason: 'the sandbox has no cgroup for this limit: this process checks the usage of the processes ten times per second instead',
      fix: 'see `nsjs probe` for cgroup',
    }));
}

// Without an explicit request, the program runs without a cgroup of its own if none can be created.
function makeGroup(context: Context, { ownLimits, killTree }: ParsedOptions, id: number, forTree: boolean): OwnGroup | undefined {
  try {
    return OwnGroup.make(context, ownLimits ?? noLimits, id, forTree);
  } catch (error) {
    const isClosed = error instanceof NsError && error.code === 'ERR_NSJS_CLOSED';
    if (ownLimits !== undefined || killTree || isClosed) throw error;
    return undefined;
  }
}

const treeDropped: Dropped = {
  control: 'killTree',
  reason: `without a cgroup, processes that a program has started are found as its descendants, and orphans become children of the program: some survive if there are more than ${maxTree} of them, if they start others while they are killed, or if the program prevents orphans from becoming its children`,
  fix: 'see `nsjs probe` for cgroup',
};

/** The programs that run in one long-lived sandbox. */
export class Programs {
  private readonly links = new Map<number, ProgramLink>();
  private readonly oomWatch: OomWatch;
  private lastId = 0;

  constructor(private readonly host: ProgramHost) {
    this.oomWatch = new OomWatch(host.launched.plan);
  }

  get size(): number {
    return this.links.size;
  }

  /** Whether one of the programs keeps this process's event loop alive. */
  get holdsLoop(): boolean {
    return [...this.links.values()].some(({ isHeld }) => isHeld);
  }

  /** Starts a program. Throws the error that kept the request from being sent. */
  start(parsed: ParsedOptions, events: RunEvents): Run {
    const { session, context } = this.host.launched;
    const { lockFd: _, ...lasting } = context;
    const id = ++this.lastId;
    const forTree = parsed.killTree ?? (parsed.timeout !== undefined || parsed.signal !== undefined);
    const group = makeGroup(context, parsed, id, forTree);
    const adopts = !group && (forTree || (parsed.ownLimits !== undefined && parsed.killTree !== false));
    let isAsked = false;
    const begin = (program: Program) => {
      isAsked = true;
      const ownContext = bare({
        ...lasting,
        kind: 'program',
        dropped: [...context.dropped, ...this.host.outcome.dropped, ...weaker(parsed.ownLimits, group), ...(adopts ? [treeDropped] : [])],
        program,
        ...(parsed.ownLimits ? { ownLimits: parsed.ownLimits } : {}),
        ...(group ? { group: group.forPlan } : {}),
        adopts,
      } as const);
      return { context: ownContext, ...this.request(parsed, ownContext, id, group) };
    };
    const { begun, restore } = (() => {
      try {
        return sharing(parsed.program, context.host.privileged, begin);
      } catch (error) {
        if (!isAsked) group?.release();
        if (!isAsked) void group?.remove();
        throw error;
      }
    })();
    const ours = begun.plan.stdio.map((slot) => begun.fds[slot.index] ?? -1);
    const link = new ProgramLink(
      bare({ session, ...begun, ours, forget: restore }),
      new Outcome(begun.plan, [parsed.command.file, ...parsed.command.args]),
      { id, group, endsTree: parsed.killTree ?? true },
      this.host,
      () => this.giveUp(link),
    );
    link.run = new Run(parsed, events, link);
    session.adopt();
    this.links.set(id, link);
    this.host.holdLoop();
    return link.run;
  }

  private request(parsed: ParsedOptions, context: Context, id: number, group: OwnGroup | undefined) {
    const { session, plan: sandbox } = this.host.launched;
    try {
      const plan = planFor(parsed.spec, context, sandbox instanceof PlanWriter ? sandbox : undefined);
      return { plan, fds: session.spawn(plan, id) };
    } catch (error) {
      void group?.remove();
      throw error;
    } finally {
      group?.release();
    }
  }

  /** Handles a record about one of the programs. Returns false if it is about none of them. */
  feed(record: LaunchRecord, pid: number, fds: readonly number[]): boolean {
    const link = this.links.get(record.program);
    if (link?.run) this.feedProgram(link, link.run, record, pid, fds);
    return link !== undefined;
  }

  /** Sends a signal to each program. */
  signal(number: number): void {
    for (const link of this.links.values()) link.signal(number);
  }

  /** Gives the sandbox's reason to programs that end with it, except those that already have a reason. */
  endFor(reason: Reason, timeLimit?: TimeLimit): void {
    for (const { run, outcome } of this.links.values()) {
      // The same abort signal may have ended the program and its sandbox.
      if (run?.aborted) outcome.killedBy('aborted');
      else outcome.killedBy(reason, timeLimit);
    }
  }

  /** Ends the runs of all programs, which are gone. */
  drop(): void {
    for (const link of [...this.links.values()]) this.onGone(link);
  }

  private feedProgram(link: ProgramLink, run: Run, record: LaunchRecord, pid: number, fds: readonly number[]): void {
    const failedInInit = record.kind === recordKind.failed && record.section === insideSection;
    if (record.kind === recordKind.started) link.pid = this.host.spec.namespaces.pid ? pid : record.status;
    if (record.kind === recordKind.exited) this.countKills(link, record);
    try {
      run.feed(record, pid, fds);
    } finally {
      // Also if a listener throws.
      if (record.kind === recordKind.exited || failedInInit) this.onGone(link);
    }
  }

  // Programs that share a cgroup are told apart by the time of the kill; a program with its own cgroup by that cgroup's
  // counter.
  private countKills({ group, outcome }: ProgramLink, record: LaunchRecord): void {
    const { oomWatch, host } = this;
    const own = group?.counts('memory') ? group : undefined;
    const isKilled = record.status === constants.signals.SIGKILL;
    if (group) outcome.noteGroup(group.stats() ?? {});
    oomWatch.look();
    host.outcome.claimKills(oomWatch.seen);
    const kills = own?.oomKills ?? (isKilled ? oomWatch.take(1) : 0);
    outcome.noteKills(kills, isKilled);
    // Version 1 counts kills per group only; version 2 counts them in the parent group as well.
    if (own && host.launched.context.cgroups.version === 1) host.outcome.addNestedKills(kills);
    else if (own) oomWatch.take(kills);
  }

  // A paused init can neither start nor kill the program, so the run ends now. Init kills the program as soon as it has
  // started it.
  private giveUp(link: ProgramLink): void {
    if (this.host.pauser.isPaused && !link.outcome.started) this.onGone(link);
  }

  private onGone(link: ProgramLink): void {
    this.links.delete(link.id);
    link.launched.forget?.();
    link.run?.drain(idleMs);
    link.run?.onGone();
    this.host.holdLoop();
  }
}
