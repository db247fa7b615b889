// Writes the chunks `api` and `run` of chunks.json: the modules that define the exports of nsjs, and those that a run
// with default options evaluates beside them, as root and as a user. Run it as root after a build.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const file = 'scripts/build/chunks.json';
const user = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups'];
const exported = "const nsjs = require('./dist/index.js'); for (const name in nsjs) nsjs[name];";
const runs = `const nsjs = require('./dist/index.js'); nsjs.spawnIsolatedSync('true');
  nsjs.spawnIsolated('true').then(() => nsjs.spawnIsolated('cat', [], { input: 'text' }));`;

const directory = mkdtempSync(join(tmpdir(), 'nsjs-chunks-'));

/** Names of the modules that a program evaluates, from the coverage that V8 collects. */
function evaluated(code, prefix = []) {
  const coverage = join(directory, 'coverage');
  mkdirSync(coverage, { mode: 0o777 });
  chmodSync(coverage, 0o777);
  const [command, ...args] = [...prefix, process.execPath, '-e', code];
  execFileSync(command, args, { cwd: directory, env: { PATH: process.env.PATH, NODE_V8_COVERAGE: coverage }, stdio: 'inherit' });
  const names = readdirSync(coverage)
    .flatMap((name) => JSON.parse(readFileSync(join(coverage, name), 'utf8')).result)
    .flatMap(({ functions }) => functions)
    .filter(({ ranges }) => ranges[0].count > 0)
    .map(({ functionName }) => /^build\/lazy\/(.*)\.js$/.exec(functionName)?.[1])
    .filter((name) => name !== undefined);
  rmSync(coverage, { recursive: true });
  return new Set(names);
}

try {
  chmodSync(directory, 0o755);
  for (const name of ['package.json', 'dist', 'build/Release/nsjs.node']) cpSync(name, join(directory, name), { recursive: true });
  const api = evaluated(exported);
  const run = new Set([...evaluated(runs), ...evaluated(runs, user)]);
  const chunks = JSON.parse(readFileSync(file, 'utf8'));
  const found = { ...chunks, api: [...api].sort(), run: [...run].filter((name) => !api.has(name)).sort() };
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
  execFileSync('node_modules/.bin/biome', ['format', '--write', file], { stdio: 'ignore' });
  console.log(`${file}: ${found.api.length} modules of the exports, ${found.run.length} of a run`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
