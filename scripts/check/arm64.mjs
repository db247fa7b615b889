// Cross-compiles launcher and addon for arm64 with Debian's compiler. The results are not run.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildLauncher, sourcesOf } from '../build/launcher.mjs';

const compiler = 'aarch64-linux-gnu-g++';
const directory = 'build/arm64';
const include = join(dirname(dirname(process.execPath)), 'include/node');

if (spawnSync(compiler, ['--version']).error) {
  console.error(`${compiler} is missing: apt-get install g++-aarch64-linux-gnu`);
  process.exit(1);
}
mkdirSync(directory, { recursive: true });
buildLauncher({ compiler, output: `${directory}/nsjs-launcher` });
execFileSync(process.execPath, ['scripts/build/embed.mjs', `${directory}/nsjs-launcher`, `${directory}/image.S`]);
const flags = [
  '-std=c++20',
  '-O2',
  '-fPIC',
  '-shared',
  '-s',
  '-fvisibility=hidden',
  '-fno-exceptions',
  '-fno-rtti',
  '-DNAPI_VERSION=9',
  '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
  '-Inode_modules/node-addon-api',
  `-I${include}`,
];
const linking = ['-Wl,--gc-sections', '-Wl,--version-script=src/addon/exports.map', '-o', `${directory}/nsjs.node`];
execFileSync(compiler, [...flags, ...linking, ...sourcesOf('src/addon'), `${directory}/image.S`], { stdio: 'inherit' });
execFileSync(
  process.execPath,
  [
    'scripts/check/binaries.mjs',
    `${directory}/nsjs-launcher`,
    `${directory}/nsjs.node`,
    'aarch64-linux-gnu-nm',
    'aarch64-linux-gnu-readelf',
  ],
  { stdio: 'inherit' },
);
