import { seccompFilter } from '../seccomp-filter';
import { parseSandboxArguments } from './arguments';

export const seccompUsage = `nsjs seccomp show [options of run]      disassembles the filter
nsjs seccomp explain [options of run] -- NAME [ARGUMENT …]
                                 which rule decides a system call`;

/** `nsjs seccomp`: what the options of `run` lead to. */
export function runSeccomp([verb, ...words]: readonly string[]): number {
  const { options, rest } = parseSandboxArguments(words);
  const filter = seccompFilter(options);
  if (!filter) {
    console.log('no filter');
    return 0;
  }
  const [name, ...args] = rest;
  if (verb === 'show' && name === undefined) console.log(`${filter}\n# ${filter.instructions} instructions, sha256 ${filter.hash}`);
  else if (verb === 'explain' && name !== undefined) {
    const { action, errno, why } = filter.explain(name, args.map(BigInt));
    console.log(`${name}: ${action}${errno === undefined ? '' : ` ${errno}`} (${why})`);
  } else throw new Error(`usage:\n${seccompUsage}`);
  return 0;
}
