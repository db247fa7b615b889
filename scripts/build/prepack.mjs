// npm runs this before `npm pack` and `npm publish`: builds the library, the prebuilds of both architectures that are
// missing or older than their sources, and the SBOM.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 'inherit'] });
  if (status !== 0) {
    console.error('nsjs: packing stopped: see the message above');
    process.exit(1);
  }
}

const newest = (...paths) =>
  Math.max(
    ...paths.flatMap((path) =>
      statSync(path).isDirectory()
        ? readdirSync(path, { recursive: true }).map((name) => statSync(join(path, name)).mtimeMs)
        : [statSync(path).mtimeMs],
    ),
  );

const sources = newest('src', 'binding.gyp', 'scripts/build/embed.mjs');
const isStale = (arch) => {
  const path = `prebuilds/linux-${arch}/nsjs.node`;
  return !existsSync(path) || statSync(path).mtimeMs < sources;
};

run('scripts/build/all.mjs', 'library');
for (const arch of ['x64', 'arm64'].filter(isStale)) run('scripts/build/prebuild.mjs', '--arch', arch);
run('scripts/build/sbom.mjs');
