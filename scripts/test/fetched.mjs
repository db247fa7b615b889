// Packages that tests and benchmarks fetch when they need them, and that are no dependencies.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const flags = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--fetch-retries=0', '--fetch-timeout=30000'];

/** Installs packages into a directory. Returns undefined, or the reason why that failed, such as no network. */
export function fetchPackages(directory, ...packages) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(resolve(directory, 'package.json'), '{ "private": true }\n');
  const { status, stderr, error } = spawnSync('npm', ['install', ...flags, ...packages], { cwd: directory, encoding: 'utf8' });
  if (status === 0) return undefined;
  return error?.message ?? /code (\w+)/.exec(stderr)?.[1] ?? `npm install exited with ${status}`;
}

/** Installs a version of Node into a directory. Returns the path of the program, or the reason why that failed. */
export function fetchNode(directory, version) {
  const name = `node-linux-${process.arch}`;
  const reason = fetchPackages(directory, `${name}@${version}`);
  return reason === undefined ? { node: resolve(directory, 'node_modules', name, 'bin/node') } : { reason };
}
