// Compares the time that loading nsjs takes with that of other packages and of Node itself, and the time from a cold
// process to the first result. Each row is the median of many processes, in random order. Prints one table and writes
// bench/results/load.json. The other packages are fetched for each run; without a network they are left out.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fetchPackages } from '../scripts/test/fetched.mjs';
import { installPacked, packPackage } from '../scripts/test/packed.mjs';

const rounds = Number(process.env.NSJS_BENCH_ROUNDS ?? 20);

// The latest versions; execa 10 needs Node 22.
const isOld = Number.parseInt(process.versions.node, 10) < 22;
const versions = { execa: isOld ? '9.6.0' : '10.2.1', 'better-sqlite3': '13.2.0', dockerode: '5.0.1' };
const pinned = Object.entries(versions).map(([name, version]) => `${name}@${version}`);

const directory = mkdtempSync(join(tmpdir(), 'nsjs-load-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const app = join(directory, 'app');

// Both would add to the start of every process.
const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;

const median = (list) => [...list].sort((one, other) => one - other)[Math.floor(list.length / 2)];

/** Installs nsjs as a user does, and the other packages one directory above. Returns whether these are available. */
function install() {
  installPacked(app, packPackage(directory).tarball);
  const reason = fetchPackages(directory, ...pinned);
  if (reason !== undefined) console.log(`${pinned.join(', ')}: left out, they could not be fetched: ${reason}\n`);
  return reason === undefined;
}

const kinds = {
  require: { extension: 'cjs', load: (name) => `require('${name}');` },
  import: { extension: 'mjs', load: (name) => `await import('${name}');` },
};

/** A row: a script that does something, one that also measures it inside the process, and the empty script. */
function row(name, kind, code, base = `empty .${kinds[kind].extension}`) {
  const { extension } = kinds[kind];
  const file = (suffix, content) => {
    const path = join(app, `${name.replace(/\W+/g, '-')}-${kind}${suffix}.${extension}`);
    writeFileSync(path, content);
    return path;
  };
  const print = kind === 'require' ? "require('node:fs')" : "(await import('node:fs'))";
  const measured = `const start = process.hrtime.bigint(); ${code}\n${print}.writeSync(1, String(process.hrtime.bigint() - start));`;
  return { name, kind, base, script: file('', code), measured: file('-measured', measured), times: [], inside: [] };
}

const loading = (name, kind) => row(`${name}, ${kind}`, kind, kinds[kind].load(name));

function makeRows(hasOthers) {
  const others = [loading('execa', 'import'), loading('better-sqlite3', 'require'), loading('dockerode', 'require')];
  return [
    row('empty .cjs', 'require', ''),
    row('empty .mjs', 'import', ''),
    ...(hasOthers ? others : []),
    loading('nsjs', 'require'),
    loading('nsjs', 'import'),
    row("child_process.execFileSync('true')", 'require', "require('node:child_process').execFileSync('true');"),
    row("spawnIsolatedSync('true')", 'require', "require('nsjs').spawnIsolatedSync('true');"),
    row("await spawnIsolated('true')", 'import', "await (await import('nsjs')).spawnIsolated('true');"),
  ];
}

/** Times one process from spawn to exit, and another one inside. */
function measure({ name, script, measured, times, inside }) {
  const start = performance.now();
  const { status } = spawnSync(process.execPath, [script], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  times.push(performance.now() - start);
  if (status !== 0) throw new Error(`${name}: exit code ${status}`);
  inside.push(Number(execFileSync(process.execPath, [measured], { env, encoding: 'utf8' })) / 1e6);
}

/** Counts the JavaScript files that a process loads beside its script, from the coverage that V8 collects. */
function filesOf(script) {
  const coverage = join(directory, 'coverage');
  execFileSync(process.execPath, [script], { env: { ...env, NODE_V8_COVERAGE: coverage } });
  const urls = readdirSync(coverage).flatMap((name) => JSON.parse(readFileSync(join(coverage, name), 'utf8')).result.map(({ url }) => url));
  rmSync(coverage, { recursive: true });
  return new Set(urls.filter((url) => url.startsWith('file:') && url !== pathToFileURL(script).href)).size;
}

function shuffled(list) {
  const mixed = [...list];
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = Math.floor(Math.random() * (index + 1));
    [mixed[index], mixed[other]] = [mixed[other], mixed[index]];
  }
  return mixed;
}

function summarize(rows) {
  const total = Object.fromEntries(rows.map(({ name, times }) => [name, median(times)]));
  return rows.map(({ name, base, script, inside }) => ({
    name,
    total: total[name],
    over: name === base ? undefined : total[name] - total[base],
    inside: median(inside),
    files: filesOf(script),
  }));
}

const rows = makeRows(install());
for (const one of rows) spawnSync(process.execPath, [one.script], { env, stdio: 'ignore' });
for (let round = 0; round < rounds; round++) for (const one of shuffled(rows)) measure(one);
const results = { node: process.version, kernel: release(), rounds, versions, rows: summarize(rows) };

console.log(`Node ${process.version}, Linux ${release()}; median of ${rounds} processes, in ms; ${pinned.join(', ')}\n`);
console.log(`${''.padEnd(36)}${['spawn to exit', 'over empty', 'inside', 'files'].map((title) => title.padStart(15)).join('')}`);
for (const { name, total, over, inside, files } of results.rows) {
  const cells = [total.toFixed(1), over?.toFixed(1) ?? '', over === undefined ? '' : inside.toFixed(1), String(files)];
  console.log(`  ${name.padEnd(34)}${cells.map((cell) => cell.padStart(15)).join('')}`);
}
mkdirSync('bench/results', { recursive: true });
writeFileSync('bench/results/load.json', `${JSON.stringify(results, undefined, 2)}\n`);
console.log('\nwritten to bench/results/load.json');
