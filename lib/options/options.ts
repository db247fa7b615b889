import type { Readable } from 'node:stream';
import { OptionError } from '../base/errors';
import { type Bytes, bare, parseBoolean, parseInteger, parseObject, parseOneOf, parseSignal } from '../base/parse';
import { parseSignalNumber } from '../base/signals';
import type { LimitsSpec } from '../cgroup/limits';
import type { SandboxOptions } from '../features';
import type { Program } from '../features/feature';
import { parseLimits } from '../features/limits';
import type { Spec } from '../features/spec';
import { stdioKind } from '../native/addon';
import { type Command, candidates, parseCommand } from './command';
import { sandboxKeys } from './merge';
import { parseInput, parseMaxBuffer, parseMaxMessage, parseSize } from './run-values';
import { parseProgramChanges, specFor } from './spec';
import { type ParsedStdio, parseStdio, type StdioOption } from './stdio';
import { parseSyscalls, type SyscallOptions, type SyscallsSpec, syscallKeys } from './syscalls';

/** Options of one run of a program, in addition to those of its sandbox. */
export interface RunOptions extends SyscallOptions {
  /** The program's descriptors. Default: stdin from /dev/null, stdout and stderr as pipes. */
  readonly stdio?: StdioOption;
  /** Size of the terminal of `stdio: 'pty'` in characters. Default 80 by 24. */
  readonly tty?: { readonly columns?: number; readonly rows?: number };
  /** Data that is written to the program's stdin, which is then closed. */
  readonly input?: string | Uint8Array | Readable;
  /** Type of `stdout` and `stderr` in the result. Default `'utf8'`. */
  readonly encoding?: 'utf8' | 'buffer';
  /** Ends the sandbox when aborted. The promise then rejects with an AbortError. */
  readonly signal?: AbortSignal;
  /** Time in ms after which the program gets `killSignal` (reason `timeout`). Default: none. */
  readonly timeout?: number;
  /** Signal that ends the program on timeout, abort and stop(). Default: `'SIGTERM'`. */
  readonly killSignal?: NodeJS.Signals | number;
  /** Time in ms from `killSignal` to SIGKILL. Default: 5,000. With 0, only SIGKILL is sent. */
  readonly killGrace?: number;
  /**
   * Number of bytes of stdout and of stderr that are kept. If there are more, the sandbox is killed (reason `output`),
   * and text is cut after the last complete character. Default: 10 MiB. Maximum: the size of a string (536,870,888) or,
   * with `encoding: 'buffer'`, of a Buffer.
   */
  readonly maxBuffer?: Bytes;
  /** Whether the promise rejects if the program fails. Default: true. */
  readonly reject?: boolean;
  /** Whether output is collected into the result. With false it is only streamed, with backpressure. Default true. */
  readonly buffer?: boolean;
  /**
   * Whether one line break is removed from the end of collected text. Default: true. With `encoding: 'buffer'` every
   * byte is kept.
   */
  readonly stripFinalNewline?: boolean;
  /**
   * `'json'`: opens a channel like that of child_process.fork, which an unmodified Node.js in the sandbox uses for
   * `process.send`. Messages are read only as fast as this process handles them; a program that sends faster is
   * blocked. Default: false.
   */
  readonly ipc?: 'json' | false;
  /** Maximum size of one `ipc` message in bytes. A longer message ends the sandbox (reason `ipc`). Default: 16 MiB. */
  readonly maxMessage?: Bytes;
}

/** Options of a run and of its sandbox, read but not parsed. */
interface GivenOptions extends SandboxOptions, RunOptions {
  readonly sandbox?: unknown;
}

/** Parsed options. The data is frozen, except for `input` and `signal`. */
export interface ParsedOptions {
  readonly command: Command;
  readonly spec: Spec;
  readonly program: Program;
  readonly stdio: readonly ParsedStdio[];
  readonly input?: string | Uint8Array | Readable;
  readonly encoding: 'utf8' | 'buffer';
  readonly signal?: AbortSignal;
  readonly timeout?: number;
  readonly killSignal: number;
  readonly killGrace: number;
  readonly maxBuffer: number;
  readonly reject: boolean;
  readonly buffer: boolean;
  readonly stripFinalNewline: boolean;
  /** Limits for this program alone, in a sandbox that has limits of its own. */
  readonly ownLimits?: LimitsSpec;
  readonly syscalls?: SyscallsSpec;
  /** Descriptor number of the `ipc` channel in the sandbox, if there is one. */
  readonly ipcFd?: number;
  readonly killTree?: boolean;
  readonly maxMessage: number;
}

const runKeys = [
  'stdio',
  'tty',
  'input',
  'encoding',
  'signal',
  'timeout',
  'killSignal',
  'killGrace',
  'maxBuffer',
  'reject',
  'buffer',
  'stripFinalNewline',
  'ipc',
  'maxMessage',
  'sandbox',
  'killTree',
  ...syscallKeys,
] as const;
const allKeys = [...sandboxKeys, ...runKeys] as const;
const noOptions: GivenOptions = Object.freeze(Object.create(null));
const maxDelay = 2 ** 31 - 1;
const defaultGrace = 5000;

/** Reads the options of a run, each once, but not their contents. Throws an OptionError for an unknown option. */
export const readSpawnOptions = (options: unknown): GivenOptions =>
  options === undefined || options === null ? noOptions : (parseObject(options, '', allKeys) as GivenOptions);

/**
 * Parses a command and the options read by {@link readSpawnOptions}. Throws OptionError or OptionRangeError. Creates
 * nothing.
 */
export function parseOptions(file: unknown, args: unknown, options: GivenOptions): ParsedOptions {
  const command = parseCommand(file, args);
  const given = options as Readonly<Record<string, unknown>>;
  if (given.killTree === false)
    throw new OptionError('killTree', 'cannot be false for a one-shot run: all its processes end with the program; use sandbox.spawn');
  const spec = specFor(pickKeys(given, sandboxKeys));
  if (typeof spec.network === 'object' && spec.network.pasta)
    throw new OptionError('network.pasta', 'takes time to start: open a Sandbox with it and spawn the program in that sandbox');
  const run = parseRun(given, command, spec);
  return bare({ command, spec: run.program.pty && !spec.terminal ? Object.freeze(bare({ ...spec, terminal: true })) : spec, ...run });
}

const pickKeys = (given: Readonly<Record<string, unknown>>, keys: readonly string[]): Readonly<Record<string, unknown>> =>
  bare(Object.fromEntries(Object.entries(given).filter(([key, value]) => value !== undefined && keys.includes(key))));

function parseRun(given: Readonly<Record<string, unknown>>, command: Command, spec: Spec): Omit<ParsedOptions, 'command' | 'spec'> {
  const input = given.input === undefined ? undefined : parseInput(given.input);
  const signal = given.signal === undefined ? undefined : parseSignal(given.signal);
  const parsed = parseStdio(given.stdio, input !== undefined);
  const ipc = given.ipc !== undefined && given.ipc !== false && parseOneOf(given.ipc, 'ipc', ['json']) === 'json';
  const stdio = ipc ? [...parsed, { pass: stdioKind.socketPair }] : parsed;
  const channel = ipc ? { NODE_CHANNEL_FD: `${parsed.length}`, NODE_CHANNEL_SERIALIZATION_MODE: 'json' } : {};
  const pty = parsed[0] === 'pty' ? parseSize(given.tty) : undefined;
  if (given.tty !== undefined && !pty) throw new OptionError('tty', "needs stdio: 'pty'");
  const syscalls = parseSyscalls(given);
  const encoding = given.encoding === undefined ? 'utf8' : parseOneOf(given.encoding, 'encoding', ['utf8', 'buffer']);
  const flag = (key: string, fallback: boolean) => (given[key] === undefined ? fallback : parseBoolean(given[key], key));
  return bare({
    stdio,
    program: bare({
      candidates: candidates(command.file, spec.env.PATH),
      argv: [spec.argv0 ?? command.file, ...command.args],
      env: { ...spec.env, ...(pty && spec.env.TERM === 'dumb' ? { TERM: terminalType } : {}), ...channel },
      stdio: stdio.map((entry) => (typeof entry === 'string' ? entry : entry.pass)),
      ...(pty ? { pty } : {}),
      ...(syscalls ? { notify: syscalls.notify } : {}),
    }),
    ...(syscalls ? { syscalls } : {}),
    encoding,
    killSignal: parseSignalNumber(given.killSignal ?? 'SIGTERM', 'killSignal'),
    killGrace: given.killGrace === undefined ? defaultGrace : parseInteger(given.killGrace, 'killGrace', 0, maxDelay),
    maxBuffer: given.maxBuffer === undefined ? 10 * 2 ** 20 : parseMaxBuffer(given.maxBuffer, encoding),
    reject: flag('reject', true),
    buffer: flag('buffer', true),
    stripFinalNewline: flag('stripFinalNewline', true),
    ...(given.timeout === undefined ? {} : { timeout: parseInteger(given.timeout, 'timeout', 1, maxDelay) }),
    ...(input === undefined ? {} : { input }),
    ...(signal === undefined ? {} : { signal }),
    ...(given.killTree === undefined ? {} : { killTree: parseBoolean(given.killTree, 'killTree') }),
    ...(ipc ? { ipcFd: parsed.length } : {}),
    maxMessage: given.maxMessage === undefined ? 16 * 2 ** 20 : parseMaxMessage(given.maxMessage, ipc),
  });
}

const terminalType = 'xterm-256color';

/** Options that may differ between the programs of one sandbox. */
const programKeys = ['env', 'cwd', 'argv0', 'umask', 'rlimits', 'limits'] as const;
/** Limits that one program of a sandbox can have, in addition to the limits that apply to each process. */
const ownLimits = [
  'memory',
  'memoryHigh',
  'memoryLow',
  'swap',
  'oomGroup',
  'pids',
  'cpu',
  'cpuPeriod',
  'cpuBurst',
  'cpuWeight',
  'cpuTime',
  'wallTime',
  'idle',
] as const;
const programLimits: readonly string[] = [...ownLimits, 'fileSize', 'openFiles'];

/** Options of `sandbox.spawn`: those of a run, and options of the sandbox that one program may override. */
export interface ProgramOptions extends RunOptions, Pick<SandboxOptions, (typeof programKeys)[number]> {
  /**
   * Whether all processes that the program has started end with it when it is ended by `timeout`, abort, stop(),
   * SIGKILL or a limit. If the program ends by itself, they keep running in either case. Default: true. The processes
   * are found by a cgroup of the program's own, if cgroups are available and `timeout` or `signal` is given (with an
   * explicit `true`: always). Otherwise they are found by descent, with the program as their subreaper. If there are
   * many processes, some may then keep running (`report.dropped` reports this).
   */
  readonly killTree?: boolean;
}

/** Parses a command for an existing sandbox. Throws OptionError or OptionRangeError. Creates nothing. */
export function parseProgramOptions(
  sandbox: { readonly options: SandboxOptions; readonly spec: Spec },
  file: unknown,
  args: unknown,
  options: unknown,
): ParsedOptions {
  const command = parseCommand(file, args);
  const given = readSpawnOptions(options) as Readonly<Record<string, unknown>>;
  const ofSandbox = Object.keys(given).find((key) => !programKeys.some((name) => name === key) && !runKeys.some((name) => name === key));
  if (ofSandbox !== undefined)
    throw new OptionError(ofSandbox, 'is an option of the whole sandbox: pass it to Sandbox.open or SandboxPool.open');
  if (given.limits !== undefined) {
    const stray = Object.keys(parseLimits(given.limits, 'limits')).find((key) => !programLimits.includes(key));
    if (stray !== undefined)
      throw new OptionError(`limits.${stray}`, 'applies to the whole sandbox: pass it to Sandbox.open or SandboxPool.open');
  }
  const spec = parseProgramChanges(sandbox.options, sandbox.spec, pickKeys(given, programKeys));
  const run = parseRun(given, command, spec);
  if (run.program.pty && !spec.terminal && spec.root !== 'host')
    throw new OptionError('stdio', "'pty' needs a sandbox that was opened with terminal: true");
  const own = given.limits === undefined ? {} : { ownLimits: parseLimits(given.limits, 'limits') };
  return bare({ command, spec, ...run, ...own });
}
