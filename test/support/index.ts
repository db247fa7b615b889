import { type Result, type SpawnOptions, spawnIsolated } from 'nsjs';
import { cgroupLayout } from '../../dist/cgroup/layout';
import { type Arch, archTables } from '../../dist/seccomp/tables';

export { temporaryDirectory, thrown } from './host';

export const isRoot = process.geteuid?.() === 0;

/** Runs a program and returns what it wrote to stdout. */
export async function output(command: string, args: readonly string[] = [], options: SpawnOptions = {}): Promise<string> {
  return (await spawnIsolated(command, args, { ...options, encoding: 'utf8' })).stdout;
}

/** Runs a shell command line inside and returns what it wrote to stdout. */
export const sh = (line: string, options: SpawnOptions = {}): Promise<string> => output('/bin/sh', ['-c', line], options);

/** Like sh, but returns the whole result, also that of a failed program. */
export const trySh = (line: string, options: SpawnOptions = {}): Promise<Result> =>
  spawnIsolated('/bin/sh', ['-c', line], { ...options, encoding: 'utf8', reject: false });

/** Returns the error with which a promise rejects. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('expected a rejection');
}

/**
 * Defines a test that needs a feature of the host. Without the feature, the test is skipped and its title names the
 * feature.
 */
export function testIf(available: boolean, feature: string, name: string, body: () => void | Promise<unknown>, timeoutMs?: number): void {
  const run = async () => void (await body());
  if (available) test(name, run, timeoutMs);
  else test.skip(`${name} (skipped: ${feature})`, run);
}

/** Returns the number of a system call on this machine, for programs that make it without libc. */
export const callNumber = (name: string): number => archTables[process.arch as Arch].numbers[name] ?? -1;

/** Where cgroups can be created here; `version` is undefined if they cannot. */
export const cgroups = cgroupLayout();
export const hasCgroups = cgroups.version !== undefined;

/** Everything takes many times as long in a guest without hardware virtualization. */
export const isSlow = process.env.NSJS_IN_VM !== undefined;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** Blocks this thread for some milliseconds. */
export const block = (ms: number) => Atomics.wait(sleeper, 0, 0, ms);

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
