import { bare } from '../base/parse';
import type { Context } from '../features/feature';
import type { Spec } from '../features/spec';
import { follow } from '../launcher/follow';
import { type Started, start } from '../launcher/launch';
import { Outcome } from '../launcher/outcome';
import { recordKind } from '../launcher/record';
import { closedError, type Message } from '../launcher/session';
import { sharing } from '../launcher/shared-descriptors';
import type { ParsedOptions } from '../options/options';
import type { LaunchPlan } from '../plan/writer';
import { factsError, kernelFacts } from '../report/kernel-facts';
import { planFor, writerOf } from '../setup/plan-cache';
import { placesOf, unpinned } from '../setup/shared-pins';
import { makeSpareNet, wantsSpareNet } from '../setup/spare-network';
import { close } from '../sys/file';

/**
 * A sandbox that is set up for one program that comes later; it ends with that program. This object holds no
 * descriptors of the sandbox.
 */
export class Prepared {
  /** Settles when the sandbox is ready for its program; rejects with the error that prevented it. */
  readonly ready: Promise<void>;
  /** Settles when everything of the sandbox is gone, if no program was started in it. */
  readonly ended: Promise<void>;
  private readonly started: Started;
  private readonly outcome: Outcome;
  private state: 'opening' | 'ready' | 'over' = 'opening';
  private resolveReady!: () => void;
  private rejectReady!: (error: Error) => void;
  private resolveEnded!: () => void;

  /** Throws the error that kept the launcher from starting. */
  constructor(private readonly spec: Spec) {
    this.ready = new Promise((resolve, reject) => {
      this.resolveReady = resolve;
      this.rejectReady = reject;
    });
    this.ready.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.started = start({ spec, program: { candidates: [], argv: ['sandbox'], env: {}, stdio: [] } }, 'single');
    this.outcome = new Outcome(this.started.plan, ['sandbox']);
    try {
      follow(this.started, {
        outcome: this.outcome,
        launcherPath: spec.launcherPath,
        take: (message) => this.take(message),
        gone: () => this.onGone(),
      });
    } catch (error) {
      this.started.network?.close();
      throw error;
    }
  }

  /** Whether a program can be started in it. */
  get isReady(): boolean {
    return this.state === 'ready';
  }

  /**
   * Whether a sandbox that was set up later protects something in a directory that a program of this one could write
   * to.
   */
  get isOutdated(): boolean {
    return placesOf(this.spec, unpinned(this.spec, this.started.context)).length > 0;
  }

  /**
   * Requests the start of its program. From then on the sandbox belongs to the caller. Throws NsError ERR_NSJS_CLOSED
   * if it is gone.
   */
  start({ spec, program }: Pick<ParsedOptions, 'spec' | 'program'>): Started {
    if (!this.isReady) throw closedError();
    const { session, plan, context, network } = this.started;
    const { lockFd: _, ...lasting } = context;
    const dropped = [...context.dropped, ...this.outcome.dropped];
    const { begun, restore } = sharing(program, context.host.privileged, (shared) => {
      const ownContext: Context = bare({ ...lasting, kind: 'program', dropped, program: shared });
      const written = planFor(spec, ownContext, writerOf(plan));
      const { wallTime, cpuTime, idle } = spec.limits;
      if (wallTime !== undefined || cpuTime !== undefined || idle !== undefined) session.startClock();
      return { ownContext, written, fds: session.spawn(written, 0) };
    });
    const { ownContext, written, fds } = begun;
    this.state = 'over';
    session.ref(true);
    const ours = written.stdio.map((slot) => fds[slot.index] ?? -1);
    return bare({
      session,
      plan: together(plan, written),
      context: ownContext,
      ours,
      network,
      prepared: this.outcome.facts,
      forget: () => {
        restore?.();
        this.started.forget?.();
      },
    });
  }

  /** Ends the sandbox. Settles when everything of it is gone. */
  close(): Promise<void> {
    this.state = 'over';
    this.started.session.ref(true);
    this.started.session.kill();
    return this.ended;
  }

  private take({ record, fds }: Message): void {
    for (const fd of fds) close(fd);
    if (record.kind === recordKind.opened) this.onOpened();
    else this.outcome.feed(record);
  }

  private onOpened(): void {
    const error = factsError(this.spec, kernelFacts(this.outcome.facts), this.spec.limits);
    if (this.state !== 'opening') return;
    if (error) {
      this.rejectReady(error);
      void this.close();
      return;
    }
    this.state = 'ready';
    this.started.session.ref(false);
    if (wantsSpareNet(this.spec)) makeSpareNet();
    this.resolveReady();
  }

  private onGone(): void {
    this.state = 'over';
    this.started.network?.close();
    this.rejectReady(this.outcome.openError() ?? closedError());
    this.resolveEnded();
  }
}

/** Combines the plan of a sandbox with the plan of the program in it. */
const together = (sandbox: LaunchPlan, program: LaunchPlan): LaunchPlan => ({
  passed: program.passed,
  stdio: program.stdio,
  bytes: () => program.bytes(),
  section: (section) => (section === 'host' || section === 'end' || section === 'after' ? sandbox : program).section(section),
  lastWord: (step) => sandbox.lastWord(step),
});
