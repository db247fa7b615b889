// Writes the JavaScript that is shipped. Loading a file costs Node about 0.3 ms, and the library has 300, so the
// modules are joined into the files of chunks.json, in dist/chunks. Babel turns imports into a require() at their first
// use, so that a chunk is read, and an exported module evaluated, only when something needs it.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { transformFileSync } from '@babel/core';
import { build } from 'esbuild';

const compiled = 'build/es';
const lazy = 'build/lazy';
const output = 'dist';

const modules = readdirSync('lib', { recursive: true })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.slice(0, -'.ts'.length));

/** Names of chunks, each with its modules. A name that ends with a slash stands for a directory. */
const chunks = JSON.parse(readFileSync('scripts/build/chunks.json', 'utf8'));

function chunkOf(id) {
  const isIn = (places) => places.some((place) => place === id || (place.endsWith('/') && id.startsWith(place)));
  return Object.keys(chunks).find((name) => isIn(chunks[name])) ?? 'rest';
}

function moduleOf(from, path) {
  const base = join(dirname(from), path).replace(/\.js$/, '');
  return modules.includes(base) ? base : join(base, 'index');
}

// Modules of Node that are there when it has started, and those that every run loads. Others take time: crypto 8 ms,
// tls and http more.
const present = ['fs', 'path', 'util', 'events', 'timers', 'buffer'];
const ofRuns = [...present, 'os', 'stream', 'async_hooks', 'net', 'diagnostics_channel'];

/**
 * Whether an import waits for its first use. Within a chunk it does not: a program that has started must be able to end
 * without require(), which test runners refuse once a test file is over.
 */
function isLazy(id, source) {
  if (id === 'index') return true;
  const own = chunkOf(id);
  if (!source.startsWith('.')) return !(own === 'api' ? present : ofRuns).includes(source.replace('node:', ''));
  return ![own, 'api'].includes(chunkOf(moduleOf(id, source)));
}

const rules = ['scripts/build/chunks.json', 'scripts/build/bundle.mjs', 'node_modules/@babel/core/package.json'];
const rulesChangedAt = Math.max(...rules.map((file) => statSync(file).mtimeMs));

function makeLazy(id) {
  const from = join(compiled, `${id}.js`);
  const to = join(lazy, `${id}.js`);
  if (existsSync(to) && statSync(to).mtimeMs > Math.max(rulesChangedAt, statSync(from).mtimeMs)) return;
  const { code } = transformFileSync(from, {
    configFile: false,
    sourceMaps: 'inline',
    plugins: [['@babel/plugin-transform-modules-commonjs', { lazy: (source) => isLazy(id, source) }]],
  });
  mkdirSync(dirname(to), { recursive: true });
  // A build that is interrupted must leave no part of a file that is newer than its source.
  writeFileSync(`${to}.new`, code);
  renameSync(`${to}.new`, to);
}

/** Removes what an earlier build made of modules that no longer exist. */
function removeStale() {
  for (const directory of [compiled, lazy, output].filter((path) => existsSync(path))) {
    for (const name of readdirSync(directory, { recursive: true })) {
      const [, id] = /^(.*?)(?:\.d\.ts|\.js)$/.exec(name) ?? [];
      if (id !== undefined && !id.startsWith('chunks/') && !modules.includes(id)) rmSync(join(directory, name));
    }
  }
}

const load = (from, id) => `require('./${relative(dirname(from), join(output, 'chunks', chunkOf(id)))}.js')('${id}')`;

/**
 * Resolves imports: a module of another chunk is loaded through it. The chunk is kept, for the same reason as in
 * isLazy().
 */
const acrossChunks = (name) => ({
  name: 'across-chunks',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\./, namespace: 'file' }, ({ path, resolveDir }) => {
      const id = moduleOf(join(relative(lazy, resolveDir), 'any'), path);
      return chunkOf(id) === name ? { path: join(process.cwd(), lazy, `${id}.js`) } : { path: id, namespace: 'chunk' };
    });
    onLoad({ filter: /./, namespace: 'chunk' }, ({ path }) => ({
      contents: `module.exports = require('kept:${chunkOf(path)}')('${path}');`,
    }));
    onResolve({ filter: /^kept:/ }, ({ path }) => ({ path: path.slice('kept:'.length), namespace: 'kept' }));
    onLoad({ filter: /./, namespace: 'kept' }, ({ path }) => ({
      contents: `let chunk; module.exports = (id) => (chunk ??= require('./${path}.js'))(id);`,
    }));
    onResolve({ filter: /./, namespace: 'kept' }, ({ path }) => ({ path, external: true }));
  },
});

async function writeChunk(name) {
  const own = modules.filter((id) => chunkOf(id) === name);
  await build({
    stdin: {
      contents: `const modules = {${own.map((id) => `'${id}': () => require('./${id}.js')`).join(',')}};
        module.exports = (id) => modules[id]();`,
      resolveDir: lazy,
    },
    outfile: join(output, 'chunks', `${name}.js`),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.17',
    minifyWhitespace: true,
    minifySyntax: true,
    // Node prints the line of an error that nobody handles.
    lineLimit: 120,
    // Readable stack traces with --enable-source-maps. Without that flag Node does not read the map.
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
    plugins: [acrossChunks(name)],
    packages: 'external',
  });
}

// Two statements: Node looks for the names of exports in a module that is exported directly, and would parse the chunk.
function writeEntry(id) {
  const file = join(output, `${id}.js`);
  mkdirSync(dirname(file), { recursive: true });
  const shebang = id === 'cli/main' ? '#!/usr/bin/env node\n' : '';
  writeFileSync(file, `${shebang}'use strict';\nconst library = ${load(file, id)};\nmodule.exports = library;\n`);
}

/** Writes dist/chunks, and a file for each module: the shipped entries, and for tests all others. */
export async function bundle() {
  removeStale();
  for (const id of modules) makeLazy(id);
  for (const name of ['chunks', 'filters']) rmSync(join(output, name), { recursive: true, force: true });
  for (const name of new Set(modules.map(chunkOf))) await writeChunk(name);
  for (const id of modules) writeEntry(id);
}
