import { execFileSync } from 'node:child_process';

/** The primitives change the process that calls them, so each test runs a Node of its own, in namespaces of its own where it says so. */
export function inNode(script: string, wrap: readonly string[] = [], args: readonly string[] = []): string {
  const body = `const sys = require('nsjs/sys'); const fs = require('node:fs'); const { execFileSync } = require('node:child_process');
    const shown = (path) => fs.readFileSync(path, 'latin1');
    const failure = (act) => { try { act(); return 'none'; } catch (error) { return error.code; } };
    (async () => { ${script} })().catch((error) => { console.error(error); process.exit(9); });`;
  const [command = process.execPath, ...rest] = [...wrap, process.execPath, '-e', body, ...args];
  return execFileSync(command, rest, { cwd: __dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

/** A user namespace in which the caller is root, and what else the flags of unshare(1) say. */
export const asRoot = (flags = ''): readonly string[] => ['unshare', `-Ur${flags}`];
