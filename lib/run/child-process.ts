import { EventEmitter } from 'node:events';
import type { IsolatedChildProcess, IsolatedProcess, ProcessEvents } from './types';

/** Turns the promise's process into an emitter of `spawn`, `exit`, `close`, `error` and `message`. */
export function asChildProcess(
  process: IsolatedProcess<string | Buffer>,
  events: EventEmitter<ProcessEvents<string | Buffer>>,
): IsolatedChildProcess {
  const state = { exitCode: null as number | null, signalCode: null as NodeJS.Signals | null, killed: false };
  const emitter = new EventEmitter();
  process.catch((error: Error & { code?: string }) => {
    // child_process has no error for a program that ran and failed.
    if (error.code === 'ERR_NSJS_EXIT') return;
    emitter.emit('error', error);
    emitter.emit('close', state.exitCode, state.signalCode);
  });
  events.on('spawn', () => emitter.emit('spawn'));
  events.on('message', (message) => emitter.emit('message', message));
  events.on('exit', (code, signal) => {
    state.exitCode = code;
    state.signalCode = signal;
    emitter.emit('exit', code, signal);
  });
  events.on('close', ({ exitCode, signal }) => emitter.emit('close', exitCode, signal));
  const properties = {
    get pid() {
      return process.pid;
    },
    get exitCode() {
      return state.exitCode;
    },
    get signalCode() {
      return state.signalCode;
    },
    get killed() {
      return state.killed;
    },
    get connected() {
      return process.stdio.length > 3 && state.exitCode === null && state.signalCode === null;
    },
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    stdio: process.stdio,
    kill: (signal?: NodeJS.Signals | number) => {
      const sent = process.kill(signal);
      state.killed ||= sent;
      return sent;
    },
    send: (message: unknown, callback?: (error: Error | null) => void) => {
      process.send(message).then(
        () => callback?.(null),
        (error: Error) => (callback ? callback(error) : emitter.emit('error', error)),
      );
      return true;
    },
    ref: () => void process.ref(),
    unref: () => void process.unref(),
  };
  return Object.defineProperties(emitter, Object.getOwnPropertyDescriptors(properties)) as IsolatedChildProcess;
}
