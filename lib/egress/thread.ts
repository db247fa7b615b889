import { Worker } from 'node:worker_threads';
import { newAbortController } from '../base/abort-controller';
import { shipped } from '../base/package-root';
import type { EgressContext, EgressDecision, EgressSpec } from '../features/egress';
import type { EgressEvent, EgressProgram, EgressTotals } from '../features/egress-events';
import type { EgressSide } from './server';
import { closeEgress, type EgressSockets } from './sockets';

/** Message to the worker thread. */
export type ToThread =
  | { readonly kind: 'answer'; readonly id: number; readonly decision: EgressDecision; readonly error?: string }
  | { readonly kind: 'init'; readonly pid: number | undefined }
  | { readonly kind: 'close' };

/** An EgressContext as data, for a message. */
export type PlainContext = Omit<EgressContext, 'program' | 'signal'> & { readonly found: EgressProgram | undefined };

/** Message from the worker thread. */
export type FromThread =
  | { readonly kind: 'event'; readonly event: EgressEvent }
  | { readonly kind: 'totals'; readonly totals: Readonly<Record<string, EgressTotals>> }
  | { readonly kind: 'ask'; readonly id: number; readonly context: PlainContext }
  | { readonly kind: 'gaveUp'; readonly id: number };

/** Initial data of the worker thread. */
export interface ThreadData {
  readonly spec: Omit<EgressSpec, 'onConnect' | 'services' | 'resolve'>;
  readonly asks: boolean;
  readonly sockets: EgressSockets;
}

/** Serves the egress of one sandbox in a worker thread, so that heavy traffic does not block the calling thread. */
export class EgressThread {
  private readonly worker: Worker;
  private readonly asked = new Map<number, AbortController>();
  private last: Readonly<Record<string, EgressTotals>> = {};

  /** Starts the worker thread, which takes ownership of the sockets. */
  constructor(
    private readonly spec: EgressSpec,
    sockets: EgressSockets,
    private readonly side: EgressSide,
  ) {
    const { onConnect, services: _, resolve: __, ...plain } = spec;
    const workerData: ThreadData = { spec: plain, asks: onConnect !== undefined, sockets };
    this.worker = new Worker(shipped.egressWorker, { workerData, stdin: false, env: process.env });
    this.worker.unref();
    this.worker.on('message', (message: FromThread) => this.onMessage(message));
    let isOnline = false;
    this.worker.once('online', () => {
      isOnline = true;
    });
    // Without the worker the sandbox has no egress: its connections wait or are reset.
    this.worker.on('error', (error) => {
      if (!isOnline) closeEgress(sockets);
      process.emitWarning(`network.egress: the worker thread has failed: ${error.message}`, {
        type: 'NsjsWarning',
        detail: 'the sandbox has no egress any more; close it and open it again',
      });
    });
  }

  totals(): Readonly<Record<string, EgressTotals>> {
    return this.last;
  }

  /** Passes the pid of the sandbox's init to the worker thread. */
  started(pid: number | undefined): void {
    this.worker.postMessage({ kind: 'init', pid } satisfies ToThread);
  }

  close(): void {
    for (const controller of this.asked.values()) controller.abort();
    this.worker.postMessage({ kind: 'close' } satisfies ToThread);
  }

  private onMessage(message: FromThread): void {
    switch (message.kind) {
      case 'event':
        this.side.tell(message.event);
        return;
      case 'totals':
        this.last = message.totals;
        return;
      case 'gaveUp':
        this.asked.get(message.id)?.abort();
        this.asked.delete(message.id);
        return;
      case 'ask':
        void this.answer(message.id, message.context);
    }
  }

  private async answer(id: number, plain: PlainContext): Promise<void> {
    const controller = newAbortController();
    this.asked.set(id, controller);
    try {
      const { found, ...rest } = plain;
      const context: EgressContext = { ...rest, program: () => found, signal: controller.signal };
      const decision = await this.spec.onConnect?.(context);
      // Throws for a stream, which cannot be sent in a message.
      this.worker.postMessage({ kind: 'answer', id, decision } satisfies ToThread);
    } catch (error) {
      this.worker.postMessage({
        kind: 'answer',
        id,
        decision: 'deny',
        error: (error as Error | undefined)?.message ?? '',
      } satisfies ToThread);
    } finally {
      this.asked.delete(id);
    }
  }
}
