import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Result, type SpawnOptions, spawnIsolated } from 'nsjs';
import { cgroupLayout } from '../../dist/cgroup/layout';

export const isRoot = process.geteuid?.() === 0;

/** Runs a program and returns what it wrote to stdout. */
export async function output(command: string, args: readonly string[] = [], options: SpawnOptions = {}): Promise<string> {
  return (await spawnIsolated(command, args, { ...options, encoding: 'utf8' })).stdout;
}

/** Runs a shell command line inside. */
export const sh = (line: string, options: SpawnOptions = {}): Promise<string> => output('/bin/sh', ['-c', line], options);

/** As sh, but gives the whole result, whatever it is. */
export const trySh = (line: string, options: SpawnOptions = {}): Promise<Result> =>
  spawnIsolated('/bin/sh', ['-c', line], { ...options, encoding: 'utf8', reject: false });

/** The error a promise rejects with. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('expected a rejection');
}

/** The error a function throws. */
export function thrown(act: () => unknown): Error & Record<string, unknown> {
  try {
    act();
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('expected an exception');
}

/** A directory of the test's own on the host, removed by the returned function. */
export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'nsjs-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A test that needs something of the host; skipped by name where it is missing. */
export function testIf(available: boolean, feature: string, name: string, body: () => void | Promise<unknown>, timeoutMs?: number): void {
  const run = async () => void (await body());
  if (available) test(name, run, timeoutMs);
  else test.skip(`${name} (skipped: ${feature})`, run);
}

/** Where cgroups can be made here; its version is undefined where they cannot. */
export const cgroups = cgroupLayout();
export const hasCgroups = cgroups.version !== undefined;

/** In a guest without hardware virtualisation everything takes many times as long. */
export const isSlow = process.env.NSJS_IN_VM !== undefined;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** This thread does nothing else for so long. */
export const block = (ms: number) => Atomics.wait(sleeper, 0, 0, ms);

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
