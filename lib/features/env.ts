import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { OptionError } from '../base/errors';
import { bare, parseRecord, parseString, parseTarget } from '../base/parse';
import { feature } from './feature';
import { homeDirectory } from './root/home';

export interface EnvOptions {
  /**
   * Environment of the program, in addition to PATH, HOME, LANG, TERM=dumb and TZ=UTC. `undefined` removes one of
   * these. No variable of the caller's environment is passed on.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * Working directory inside: an absolute path, as a string or a file URL. Default: the home directory of a `system`
   * root, otherwise `/`.
   */
  readonly cwd?: string | URL;
  /** Value of argv[0], the name under which the program runs. Default: the command as given. */
  readonly argv0?: string;
}

const systemPath = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'];
// NixOS and Guix have almost no programs in these directories.
const profilePath = ['/run/current-system/sw/bin', '/run/current-system/profile/bin'].filter((directory) => existsSync(directory));

const defaults: Readonly<Record<string, string>> = {
  // The running Node is found wherever it is installed.
  PATH: [...new Set([...systemPath, ...profilePath, dirname(process.execPath)])].join(':'),
  HOME: homeDirectory,
  LANG: 'C.UTF-8',
  TERM: 'dumb',
  TZ: 'UTC',
};

export const env = feature({
  key: 'env',
  parse(value = {}, at): Readonly<Record<string, string>> {
    const given = parseRecord(value, at);
    const merged: Record<string, string> = bare({ ...defaults });
    for (const [name, text] of Object.entries(given)) {
      if (name === '' || /[=\0]/.test(name))
        throw new OptionError(
          `${at}[${JSON.stringify(name)}]`,
          'is not a valid name of an environment variable: use a non-empty name without an equals sign and without NUL',
        );
      if (text === undefined) delete merged[name];
      else merged[name] = parseString(text, `${at}.${name}`);
    }
    return merged;
  },
});

export const cwd = feature({
  key: 'cwd',
  scope: 'program',
  parse: (value, at): string | undefined => (value === undefined ? undefined : parseTarget(value, at)),
  emit(plan, { cwd: directory, root, namespaces }) {
    const fallback = root === 'system' && namespaces.mnt ? homeDirectory : '/';
    plan.op('program', 'cwd', 'Chdir', directory ?? fallback);
  },
});

export const argv0 = feature({
  key: 'argv0',
  parse: (value, at): string | undefined => (value === undefined ? undefined : parseString(value, at)),
});

declare module './spec' {
  interface Spec {
    readonly env: ReturnType<(typeof env)['parse']>;
    readonly cwd: ReturnType<(typeof cwd)['parse']>;
    readonly argv0: ReturnType<(typeof argv0)['parse']>;
  }
}
