// The package as npm would publish it, for tests that install it.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const npm = (args, options) => execFileSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options });

const pack = (args, options) => JSON.parse(npm(['pack', '--json', '--ignore-scripts', ...args], options))[0];

/** Packs into a directory. Returns the path of the tarball, its size, and the names of the files in it. */
export function packPackage(directory) {
  // prebuilds/ may hold other builds, so a copy of the package gets the addon that was just built.
  const copy = join(directory, 'packed');
  for (const { path } of pack(['--dry-run']).files) if (!path.startsWith('prebuilds/')) cpSync(path, join(copy, path));
  cpSync('build/Release/nsjs.node', join(copy, `prebuilds/linux-${process.arch}/nsjs.node`));
  const { filename, files, size } = pack(['--pack-destination', directory], { cwd: copy });
  return { tarball: join(directory, filename), size, names: files.map(({ path }) => path) };
}

/** Creates an application with the tarball as its only dependency. */
export function installPacked(app, tarball, options) {
  mkdirSync(app, { recursive: true });
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }\n');
  npm(['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', tarball], { cwd: app, ...options });
}
