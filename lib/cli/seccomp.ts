import type { SandboxOptions } from '../features';
import { spawnIsolated } from '../run/spawn';
import { seccompFilter } from '../sandbox/seccomp-filter';
import { parseSandboxArguments } from './arguments';
import { print, printJson, UsageError } from './print';

export const seccompUsage = `nsjs seccomp show [options of run]      disassembles the filter
nsjs seccomp explain [options of run] -- NAME [ARGUMENT …]
                                 shows which rule decides a system call
nsjs seccomp learn [options of run] -- COMMAND [ARGUMENT …]
                                 runs it once and prints a policy of the system calls that it used`;

/** Runs `nsjs seccomp`: shows, explains or learns the filter for options of `run`. Returns the exit code. */
export async function runSeccomp([verb, ...words]: readonly string[]): Promise<number> {
  const { options, rest } = parseSandboxArguments(words);
  if (verb === 'learn') return learn(options, rest);
  const filter = seccompFilter(options);
  if (!filter) {
    print('no filter');
    return 0;
  }
  const [name, ...args] = rest;
  if (verb === 'show' && name === undefined) print(`${filter}\n# ${filter.instructions} instructions, sha256 ${filter.hash}`);
  else if (verb === 'explain' && name !== undefined) {
    const { action, errno, why } = filter.explain(name, args.map(BigInt));
    print(`${name}: ${action}${errno === undefined ? '' : ` ${errno}`} (${why})`);
  } else throw new UsageError(`usage:\n${seccompUsage}`);
  return 0;
}

// Output of the program goes to stderr, because stdout is for the policy.
async function learn(options: SandboxOptions, [command, ...args]: readonly string[]): Promise<number> {
  if (command === undefined) throw new UsageError(`usage:\n${seccompUsage}`);
  const usedSyscalls = new Set<string>();
  const { exitCode } = await spawnIsolated(command, args, { ...options, usedSyscalls, stdio: ['inherit', 2, 2], reject: false });
  printJson({ seccomp: { only: [...usedSyscalls].sort() } });
  return exitCode ?? 1;
}
