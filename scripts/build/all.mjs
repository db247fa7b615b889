// all.mjs [native] [library] [tests]: compiles launcher and addon, the library, and the TypeScript of examples and
// tests. Without an argument all of them; `ts` is library and tests.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { bundle } from './bundle.mjs';

const require = createRequire(import.meta.url);
const parts = process.argv.slice(2);

function run(title, command, args) {
  console.log(`build: ${title}`);
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) {
    console.error(`build: ${title} failed${error ? `: ${error.message}` : ''}`);
    process.exit(1);
  }
}

const tsc = (project) => ['node_modules/typescript/bin/tsc', '-p', project];

async function buildLibrary() {
  run('operations', process.execPath, ['scripts/build/operations.mjs']);
  // tsc writes only what has changed since, even if its output was removed.
  if (!existsSync('build/es/index.js') || !existsSync('dist/index.d.ts')) rmSync('build/es/.tsbuildinfo', { force: true });
  run('library', process.execPath, tsc('.'));
  console.log('build: bundle');
  await bundle();
  run('filters', process.execPath, ['scripts/build/filters.mjs']);
  for (const entry of ['index', 'sys/index', 'sys/netlink', 'metrics/otel']) writeFacade(join('dist', entry));
}

function buildTests() {
  run('examples', process.execPath, tsc('examples'));
  run('tests', process.execPath, tsc('test'));
  run('declarations', process.execPath, tsc('test/types'));
}

// CommonJS and ES modules share one implementation: `import` gets the same classes as `require`.
function writeFacade(path) {
  const names = Object.keys(require(join(process.cwd(), `${path}.js`))).sort();
  writeFileSync(
    `${path}.mjs`,
    `import library from './${path.split('/').at(-1)}.js';\n\nexport const { ${names.join(', ')} } = library;\n`,
  );
}

// The headers installed with the running Node match its version and need no download.
function headers() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/uv.h')) ? [`--nodedir=${prefix}`] : [];
}

function newest(directory) {
  return Math.max(...readdirSync(directory, { withFileTypes: true }).map((entry) => statSync(join(directory, entry.name)).mtimeMs));
}

function buildNative() {
  const stale =
    !existsSync('build/Makefile') ||
    statSync('build/Makefile').mtimeMs <
      Math.max(statSync('binding.gyp').mtimeMs, ...['src/addon', 'src/launch', 'src/launch/ops'].map(newest));
  const gyp = [require.resolve('node-gyp/bin/node-gyp.js'), '--silent'];
  if (stale) run('native, configure', process.execPath, [...gyp, 'configure', ...headers()]);
  run('native, compile', process.execPath, [...gyp, 'build', ...headers()]);
}

const isAsked = (...names) => parts.length === 0 || names.some((name) => parts.includes(name));
if (isAsked('native')) buildNative();
if (isAsked('library', 'ts')) await buildLibrary();
if (isAsked('tests', 'ts')) buildTests();
