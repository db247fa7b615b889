import { type Deferred, deferred } from '../base/deferred';
import { bare } from '../base/parse';
import type { Context } from '../features/feature';
import type { Spec } from '../features/spec';
import { Instance } from '../launcher/instance';
import { type Launched, launch } from '../launcher/launch';
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
export class Parked {
  /** Settles when the sandbox is ready for its program; rejects with the error that prevented it. */
  get ready(): Promise<void> {
    return this.readiness.promise;
  }
  /** Settles when everything of the sandbox is gone, if no program was started in it. */
  get ended(): Promise<void> {
    return this.end.promise;
  }

  private readonly readiness: Deferred<void> = deferred();
  private readonly end: Deferred<void> = deferred();
  private readonly instance: Instance;
  private state: 'opening' | 'ready' | 'over' = 'opening';

  /** Throws the error that kept the launcher from starting. */
  constructor(private readonly spec: Spec) {
    this.ready.catch(() => {});
    const launched = launch({ spec, program: { candidates: [], argv: ['sandbox'], env: {}, stdio: [] } }, 'parked');
    this.instance = new Instance(launched, new Outcome(launched.plan, ['sandbox']), spec);
    this.instance.follow({ take: (message) => this.take(message), gone: () => this.onGone() });
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
    return placesOf(this.spec, unpinned(this.spec, this.instance.launched.context)).length > 0;
  }

  /**
   * Requests the start of its program. From then on the sandbox belongs to the caller. Throws NsError ERR_NSJS_CLOSED
   * if it is gone.
   */
  start({ spec, program }: Pick<ParsedOptions, 'spec' | 'program'>): Launched {
    if (!this.isReady) throw closedError();
    const { launched, outcome } = this.instance;
    const { session, plan, context, network } = launched;
    const { lockFd: _, ...lasting } = context;
    const dropped = [...context.dropped, ...outcome.dropped];
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
      parkedFacts: outcome.facts,
      forget: () => {
        restore?.();
        launched.forget?.();
      },
    });
  }

  /** Ends the sandbox. Settles when everything of it is gone. */
  close(): Promise<void> {
    this.state = 'over';
    const { session } = this.instance.launched;
    session.ref(true);
    session.kill();
    return this.ended;
  }

  private take({ record, fds }: Message): void {
    for (const fd of fds) close(fd);
    if (record.kind === recordKind.opened) this.onOpened();
    else this.instance.outcome.feed(record);
  }

  private onOpened(): void {
    const error = factsError(this.spec, kernelFacts(this.instance.outcome.facts), this.spec.limits);
    if (this.state !== 'opening') return;
    if (error) {
      this.readiness.reject(error);
      void this.close();
      return;
    }
    this.state = 'ready';
    this.instance.launched.session.ref(false);
    if (wantsSpareNet(this.spec)) makeSpareNet();
    this.readiness.resolve();
  }

  private onGone(): void {
    this.state = 'over';
    this.instance.close();
    this.readiness.reject(this.instance.outcome.openError() ?? closedError());
    this.end.resolve();
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
