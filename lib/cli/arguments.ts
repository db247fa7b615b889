import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from '../base/errors';
import type { SandboxOptions } from '../features';
import type { Mount } from '../features/root/mounts';
import type { SpawnOptions } from '../run/types';

/** A command line of `nsjs run`. */
export interface RunArguments {
  readonly command: string;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
  readonly showReport: boolean;
  /** Whether the program gets a terminal of its own. */
  readonly terminal: boolean;
}

export const runUsage = `options of run and explain:
  --preset untrusted|node|build|container|landlock|none
                                 the preset to start from (untrusted)
  --bind SOURCE[:TARGET]         a file or directory of the host, read-only (repeatable)
  --bind-rw SOURCE[:TARGET]      the same, writable
  --tmpfs TARGET                 an empty directory in memory
  --root system|empty|host|PATH  the root directory (system)
  --network none|host            the network (none)
  --allow RULE  --deny RULE      egress only to these: name:port, *.name, 10.0.0.0/8, * (repeatable); denied connections are reported
  --memory SIZE  --pids N        limits of the sandbox (512M, 64)
  --cpu N                        limit of CPU time, in CPUs; 0.5 is half of one
  --timeout MS                   ends the program after this time
  --wall-time MS                 the same, enforced by the launcher with SIGKILL
  --seccomp default|off|docker:FILE|oci:FILE
                                 the allowed system calls (default)
  --env NAME=VALUE               a variable of the environment; NAME alone takes the caller's value
  --cwd PATH  --hostname NAME
  --tty                          gives the program a terminal of its own, connected to this one
  --report                       prints the report of the applied controls to stderr at the end`;

const known = {
  preset: { type: 'string' },
  bind: { type: 'string', multiple: true },
  'bind-rw': { type: 'string', multiple: true },
  tmpfs: { type: 'string', multiple: true },
  root: { type: 'string' },
  network: { type: 'string' },
  allow: { type: 'string', multiple: true },
  deny: { type: 'string', multiple: true },
  memory: { type: 'string' },
  pids: { type: 'string' },
  cpu: { type: 'string' },
  timeout: { type: 'string' },
  'wall-time': { type: 'string' },
  seccomp: { type: 'string' },
  env: { type: 'string', multiple: true },
  cwd: { type: 'string' },
  hostname: { type: 'string' },
  tty: { type: 'boolean' },
  report: { type: 'boolean' },
} as const;

/** Parses the arguments of `nsjs run`. Throws an Error whose message says how to correct them. */
export function parseRunArguments(words: readonly string[]): RunArguments {
  const { values, positionals } = parseWords(words);
  const [command, ...args] = positionals;
  if (command === undefined) throw new Error('no command given: write it after --, as in: nsjs run -- ls /');
  return {
    command,
    args,
    options: {
      ...sandboxOptions(values),
      ...(values.timeout === undefined ? {} : { timeout: Number(values.timeout) }),
    },
    showReport: values.report ?? false,
    terminal: values.tty ?? false,
  };
}

/** Parses the options of `run` that describe the sandbox; `rest` has the arguments after them. */
export function parseSandboxArguments(words: readonly string[]): { readonly options: SandboxOptions; readonly rest: readonly string[] } {
  const { values, positionals } = parseWords(words);
  return { options: sandboxOptions(values), rest: positionals };
}

const parseWords = (words: readonly string[]) => parseArgs({ args: [...words], options: known, allowPositionals: true });

function sandboxOptions(values: ReturnType<typeof parseWords>['values']): SandboxOptions {
  const mounts: Mount[] = [
    ...(values.bind ?? []).map((text) => bind(text, true)),
    ...(values['bind-rw'] ?? []).map((text) => bind(text, false)),
    ...(values.tmpfs ?? []).map((target) => ({ type: 'tmpfs', target }) as const),
  ];
  const limits = {
    ...(values.memory === undefined ? {} : { memory: values.memory }),
    ...(values.pids === undefined ? {} : { pids: Number(values.pids) }),
    ...(values.cpu === undefined ? {} : { cpu: Number(values.cpu) }),
    ...(values['wall-time'] === undefined ? {} : { wallTime: Number(values['wall-time']) }),
  };
  return {
    mounts,
    limits,
    ...pick(values, ['preset', 'root', 'network', 'cwd', 'hostname']),
    ...egress(values),
    ...(values.seccomp === undefined ? {} : { seccomp: seccomp(values.seccomp) }),
    env: Object.fromEntries((values.env ?? []).map(environment)),
  } as SandboxOptions;
}

function egress({ allow, deny = [], network }: { allow?: string[]; deny?: string[]; network?: string }): Pick<SandboxOptions, 'network'> {
  if (allow === undefined) {
    if (deny.length > 0) throw new OptionError('--deny', 'makes exceptions to --allow: give --allow as well');
    return {};
  }
  if (network !== undefined) throw new OptionError('--allow', 'cannot be combined with --network: leave out --network');
  return { network: { egress: { allow, deny } } };
}

function bind(text: string, readonly: boolean): Mount {
  const [source = '', target] = text.split(':');
  const option = readonly ? '--bind' : '--bind-rw';
  if (!source.startsWith('/')) throw new OptionError(option, `expected an absolute path, received '${source}': try ${resolve(source)}`);
  return { type: 'bind', source, ...(target === undefined ? {} : { target }), readonly };
}

function seccomp(text: string): SandboxOptions['seccomp'] {
  const [, kind, file = ''] = /^(docker|oci):(.+)$/s.exec(text) ?? [];
  if (kind === undefined) return text as SandboxOptions['seccomp'];
  return { [kind]: JSON.parse(readFileSync(file, 'utf8')) as object };
}

function environment(text: string): readonly [string, string | undefined] {
  const at = text.indexOf('=');
  return at < 0 ? [text, process.env[text]] : [text.slice(0, at), text.slice(at + 1)];
}

function pick(values: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => values[key] !== undefined).map((key) => [key, values[key]]));
}
