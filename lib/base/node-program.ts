import { isSea } from 'node:sea';
import { NsError } from './errors';

/**
 * Returns the path of Node, to run a script with it. Throws NsError `ERR_NSJS_UNSUPPORTED` in a single-executable
 * application, whose program runs the application instead of the script.
 */
export function nodeProgram(what: string): string {
  if (!isSea()) return process.execPath;
  throw new NsError('ERR_NSJS_UNSUPPORTED', `a single-executable application cannot ${what}: its executable runs no scripts`, {
    hint: 'call nsjs from a script that an installed Node runs',
  });
}
