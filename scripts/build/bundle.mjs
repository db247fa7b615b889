// Writes the JavaScript that is shipped. Loading a file costs Node about 0.3 ms, and the library has 300, so the
// modules are joined into the files of chunks.json, in dist/chunks. Babel turns imports into a require() at their first
// use, so that a chunk is read, and an exported module evaluated, only when something needs it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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

// The modules of Node that every run loads. Others take time: crypto 8 ms, tls and http more.
const cheap = ['fs', 'path', 'os', 'util', 'events', 'timers', 'stream', 'buffer', 'async_hooks', 'net', 'diagnostics_channel'];

/**
 * Whether an import waits for its first use. Within a chunk it does not: a program that has started must be able to end
 * without require(), which test runners refuse once a test file is over.
 */
function isLazy(id, source) {
  const own = chunkOf(id);
  if (own === 'api') return true;
  if (!source.startsWith('.')) return !cheap.includes(source.replace('node:', ''));
  return ![own, 'api'].includes(chunkOf(moduleOf(id, source)));
}

const rulesChangedAt = Math.max(...['chunks.json', 'bundle.mjs'].map((name) => statSync(join('scripts/build', name)).mtimeMs));

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
  writeFileSync(to, code);
}

const load = (from, id) => `require('./${relative(dirname(from), join(output, 'chunks', chunkOf(id)))}.js')('${id}')`;

/** Resolves imports: a module of another chunk is loaded through it. */
const acrossChunks = (name) => ({
  name: 'across-chunks',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\./, namespace: 'file' }, ({ path, resolveDir }) => {
      const id = moduleOf(join(relative(lazy, resolveDir), 'any'), path);
      return chunkOf(id) === name ? { path: join(process.cwd(), lazy, `${id}.js`) } : { path: id, namespace: 'chunk' };
    });
    onLoad({ filter: /./, namespace: 'chunk' }, ({ path }) => ({
      contents: `module.exports = ${load(join(output, 'chunks', name), path)};`,
    }));
    onResolve({ filter: /./, namespace: 'chunk' }, ({ path }) => ({ path, external: true }));
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
  for (const id of modules) makeLazy(id);
  rmSync(join(output, 'chunks'), { recursive: true, force: true });
  for (const name of new Set(modules.map(chunkOf))) await writeChunk(name);
  for (const id of modules) writeEntry(id);
}
