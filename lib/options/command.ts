import { OptionError } from '../base/errors';
import { parseArray, parseString } from '../base/parse';

/** A command and its arguments. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

export function parseCommand(file: unknown, args: unknown): Command {
  const name = parseString(file, 'command');
  if (name === '') throw new OptionError('command', 'expected a command, received an empty string');
  const list = args === undefined || args === null ? [] : parseArray(args, 'args');
  return { file: name, args: list.map((entry, index) => parseString(entry, `args[${index}]`)) };
}

/**
 * Returns the paths that execvp(3) would try in the sandbox: the command itself if it contains a slash, otherwise one
 * path for each directory of PATH.
 */
export function candidates(file: string, path: string | undefined): readonly string[] {
  if (file.includes('/')) return [file];
  return (path ?? '/bin:/usr/bin').split(':').map((directory) => `${directory || '.'}/${file}`);
}
