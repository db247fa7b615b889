import { OptionError } from '../base/errors';
import { parseOptions, readSpawnOptions } from '../options/options';
import { handle } from './isolated-process';
import { startSingleRun } from './single-run';
import type { IsolatedProcess, SpawnOptions } from './types';

/**
 * Runs a program in a sandbox of its own: new namespaces, a root of its own, no network, no capabilities, a seccomp
 * allow-list, limits. See {@link SandboxOptions} for the options.
 *
 * Invalid options throw synchronously (OptionError, OptionRangeError). The promise rejects with a SysError if the
 * kernel refused a step of the set-up (ENOENT for a command that does not exist inside, as in child_process), an
 * ExitError if the program failed (unless `reject: false`), and an AbortError if `signal` was aborted. No shell is ever
 * used. Requires Linux 5.12 or later.
 */
export function spawnIsolated(
  command: string,
  args?: readonly string[],
  options?: SpawnOptions & { readonly encoding?: 'utf8' },
): IsolatedProcess<string>;
export function spawnIsolated(
  command: string,
  args: readonly string[] | undefined,
  options: SpawnOptions & { readonly encoding: 'buffer' },
): IsolatedProcess<Buffer>;
export function spawnIsolated(command: string, args?: readonly string[], options?: SpawnOptions): IsolatedProcess<string | Buffer>;
export function spawnIsolated(command: string, args?: readonly string[], options?: SpawnOptions): IsolatedProcess<string | Buffer> {
  const given = readSpawnOptions(options) as SpawnOptions;
  if (given.sandbox === undefined) return handle(parseOptions(command, args, given), startSingleRun);
  const { sandbox, ...rest } = given;
  if (typeof sandbox?.spawn !== 'function') throw new OptionError('sandbox', 'expected an open Sandbox', 'ERR_INVALID_ARG_TYPE');
  return sandbox.spawn(command, args, rest);
}
