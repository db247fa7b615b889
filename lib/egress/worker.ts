import { clearInterval, setInterval } from 'node:timers';
// Entry point of the worker thread of EgressThread.
import { parentPort, workerData } from 'node:worker_threads';
import type { EgressContext, EgressDecision, EgressSpec } from '../features/egress';
import { Egress } from './server';
import type { FromThread, PlainContext, ThreadData, ToThread } from './thread';

const totalsMs = 100;
const { spec, asks, sockets } = workerData as ThreadData;
const waiting = new Map<number, (message: Extract<ToThread, { kind: 'answer' }>) => void>();
let lastId = 0;

const post = (message: FromThread): void => parentPort?.postMessage(message);

function ask({ program, signal, ...rest }: EgressContext): Promise<EgressDecision> {
  const id = ++lastId;
  const context: PlainContext = { ...rest, found: program() };
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      // The onConnect function may never return a decision.
      waiting.delete(id);
      post({ kind: 'gaveUp', id });
    };
    signal.addEventListener('abort', giveUp, { once: true });
    waiting.set(id, ({ decision, error }) => {
      waiting.delete(id);
      if (error === undefined) resolve(decision);
      else reject(new Error(error));
    });
    post({ kind: 'ask', id, context });
  });
}

const whole: EgressSpec = { ...spec, services: [], ...(asks ? { onConnect: ask } : {}) };
let initPid: number | undefined;
const egress = new Egress(whole, sockets, {
  tell: (event) => post({ kind: 'event', event }),
  init: () => initPid,
});
const timer = setInterval(() => post({ kind: 'totals', totals: egress.totals() }), totalsMs);

parentPort?.on('message', (message: ToThread) => {
  if (message.kind === 'answer') waiting.get(message.id)?.(message);
  else if (message.kind === 'init') initPid = message.pid;
  else {
    clearInterval(timer);
    egress.close();
    parentPort?.close();
  }
});
