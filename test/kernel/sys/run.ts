import { execFileSync } from 'node:child_process';
import { probeCalls } from '../../../dist/probe/calls';

const primitives = probeCalls();

/** Whether this kernel has a primitive, by its name in probe(). */
export const hasPrimitive = (name: string): boolean => primitives[name]?.available === true;

/**
 * Runs a script in a new Node process and returns its output, because the primitives change the calling process. `wrap`
 * is a command that starts it, for example in new namespaces.
 */
export function inNode(script: string, wrap: readonly string[] = [], args: readonly string[] = []): string {
  const body = `const sys = require('nsjs/sys'); const fs = require('node:fs'); const { execFileSync } = require('node:child_process');
    const shown = (path) => fs.readFileSync(path, 'latin1');
    const failure = (act) => { try { act(); return 'none'; } catch (error) { return error.code; } };
    (async () => { ${script} })().catch((error) => { console.error(error); process.exit(9); });`;
  const [command = process.execPath, ...rest] = [...wrap, process.execPath, '-e', body, ...args];
  return execFileSync(command, rest, { cwd: __dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

/** Command that enters a user namespace in which the caller is root, with further flags of unshare(1). */
export const asRoot = (flags = ''): readonly string[] => ['unshare', `-Ur${flags}`];
