import { parseArgs } from 'node:util';
import { launcherImage } from '../launcher/image';
import { explain } from '../sandbox/explain';
import { parseRunArguments, runUsage } from './arguments';
import { useCompileCache } from './compile-cache';
import { lsUsage, runLs } from './ls';
import { netUsage, runNet } from './net';
import { print, printError, printErrorLines, UsageError } from './print';
import { runProbe } from './probe';
import { runProgram } from './run';
import { runSeccomp, seccompUsage } from './seccomp';
import { runStats, runTop, topUsage } from './top';

const usage = `nsjs: run untrusted programs in Linux namespaces

  nsjs run [options] -- command [args]    run a program in a sandbox
  nsjs explain [options] -- command       print what would be done, step by step
  nsjs ls [--tree] [--json]               list the namespaces of this host that you may see
  nsjs probe [--json]                     show which features this host supports, and how to enable the others
  nsjs seccomp show|explain …             show the seccomp filter of a sandbox, and what it decides
  nsjs top [options]                      show the sandboxes of this host and their usage, live
  nsjs stats [--json] [options]           the same once, or as JSON
  nsjs net [ID] [--json]                  show interfaces, routes, rules and connections of sandboxes
  nsjs launcher                           write the launcher to stdout (for launcherPath)
  nsjs --help

${runUsage}

${lsUsage}

${topUsage}

${netUsage}

${seccompUsage}`;

const misuse = 2;

async function main([verb, ...rest]: readonly string[]): Promise<number> {
  switch (verb) {
    case 'run':
      return runProgram(parseRunArguments(rest));
    case 'explain': {
      const { command, args, options } = parseRunArguments(rest);
      print(explain(options, command, args).toString());
      return 0;
    }
    case 'ls':
      return runLs(rest);
    case 'probe':
      return runProbe(parseArgs({ args: [...rest], options: { json: { type: 'boolean' } } }).values.json ?? false);
    case 'seccomp':
      return runSeccomp(rest);
    case 'top':
      return runTop(rest);
    case 'stats':
      return runStats(rest);
    case 'net':
      return runNet(rest);
    case 'launcher':
      parseArgs({ args: [...rest] });
      process.stdout.write(launcherImage());
      return 0;
    case '--help':
    case '-h':
      print(usage);
      return 0;
    default:
      if (verb === undefined) printErrorLines(usage);
      else printError(`nsjs: unknown command '${verb}'; try nsjs --help`);
      return misuse;
  }
}

useCompileCache();
main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    if (error instanceof UsageError) printErrorLines(error.message);
    else printError(`nsjs: ${error.message}`);
    process.exitCode = misuse;
  },
);
