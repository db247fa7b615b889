import { constants } from 'node:os';
import type { EgressEvent } from '../features/egress-events';
import { spawnIsolated } from '../run/spawn';
import type { RunArguments } from './arguments';
import { printError, printErrorLines } from './print';
import { attachTerminal, terminalSize } from './terminal';

// Exit codes as in shells and env(1): not found, found but not executable, killed by a signal.
const notFound = 127;
const notExecutable = 126;
const signalBase = 128;
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function tellRefusal(event: EgressEvent): void {
  if (event.kind === 'dropped') printError(`nsjs: ${event.count} more network events were dropped because they arrived too fast`);
  const text = refusalText(event);
  if (text !== undefined) printError(`nsjs: refused ${text}`);
}

function refusalText(event: EgressEvent): string | undefined {
  if (event.kind === 'lookup') return event.allowed ? undefined : `${event.name}: not allowed`;
  if (event.kind !== 'refused') return undefined;
  return `${event.name ?? event.address}:${event.port}: ${event.reason}${event.detail === undefined ? '' : ` (${event.detail})`}`;
}

/**
 * Runs the program with the descriptors of this process, or with a terminal of its own. Returns the exit code for this
 * process.
 */
export async function runProgram({ command, args, options, showReport, terminal }: RunArguments): Promise<number> {
  const stdio = terminal ? ({ stdio: 'pty', tty: terminalSize(), buffer: false } as const) : ({ stdio: 'inherit' } as const);
  const running = spawnIsolated(command, args, { ...options, ...stdio, reject: false });
  running.events.on('egress', tellRefusal);
  const letGo = terminal ? attachTerminal(running) : () => {};
  for (const signal of forwarded) process.on(signal, () => running.kill(signal));
  try {
    const { exitCode, signal, reason, report, usage, limits } = await running;
    if (showReport) printErrorLines(JSON.stringify({ reason, report, usage, limits }, undefined, 2));
    if (reason !== 'exited' && reason !== 'signaled') printError(`nsjs: ${command} was terminated: ${reason}`);
    return exitCode ?? signalBase + (signal === null ? 0 : constants.signals[signal]);
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    printError(`nsjs: ${message}`);
    return code === 'ENOENT' ? notFound : notExecutable;
  } finally {
    letGo();
  }
}
