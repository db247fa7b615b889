// Measures the cost of confinement while a program runs: a compilation and a loop of system calls, un-isolated, under
// nsjs, and under bwrap with Docker's seccomp profile. Interleaved, medians. Prints a table and writes
// bench/results/steady.json.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sandbox, seccompFilter, spawnIsolated } from 'nsjs';

const rounds = Number(process.env.NSJS_BENCH_ROUNDS ?? 20);
const work = mkdtempSync(join(tmpdir(), 'nsjs-steady-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

// Many functions and headers, so that the compiler both computes and reads files.
const headers = ['stdio', 'stdlib', 'string', 'math', 'unistd', 'time', 'signal', 'pthread', 'errno', 'fcntl', 'sys/stat', 'sys/socket'];
const functions = Array.from(
  { length: 120 },
  (_, index) =>
    `double f${index}(double x) { double s = 0; for (int i = 0; i < 100; i++) s += sin(x * ${index} + i) * strlen("${index}"); return s; }`,
);
writeFileSync(join(work, 'a.c'), `${headers.map((name) => `#include <${name}.h>`).join('\n')}\n${functions.join('\n')}\n`);
const files = 4;
const compile = Array.from({ length: files }, (_, index) => `gcc -O2 -c a.c -o a${index}.o`).join(' && ');

const calls = 200_000;
writeFileSync(
  join(work, 'calls.c'),
  `#include <fcntl.h>\n#include <sys/stat.h>\n#include <unistd.h>\nint main(void) { struct stat s; char b; for (int i = 0; i < ${calls}; i++) { int f = open("/etc/passwd", O_RDONLY); fstat(f, &s); (void)!read(f, &b, 1); close(f); stat("/usr/bin/env", &s); getppid(); } }\n`,
);
if (spawnSync('gcc', ['-O2', '-o', join(work, 'calls'), join(work, 'calls.c')]).status !== 0) {
  console.log('steady: left out, there is no gcc');
  process.exit(0);
}

const profile = JSON.parse(readFileSync('test/data/moby-default-seccomp.json', 'utf8'));
const filterFile = join(work, 'docker.bpf');
writeFileSync(filterFile, seccompFilter({ seccomp: { docker: profile } }).bytes);
const hasBwrap = spawnSync('bwrap', ['--version']).error === undefined;
if (!hasBwrap) console.log('bwrap: left out, it is not installed (Debian: apt-get install bubblewrap)\n');

const closed = (child) =>
  new Promise((resolve, reject) => child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`)))));

function bwrap(line) {
  const fd = openSync(filterFile, 'r');
  const args = [
    '--unshare-all',
    '--ro-bind',
    '/',
    '/',
    '--dev',
    '/dev',
    '--proc',
    '/proc',
    '--tmpfs',
    '/tmp',
    '--bind',
    work,
    '/work',
    '--chdir',
    '/work',
    '--seccomp',
    '3',
    '/bin/sh',
    '-c',
    line,
  ];
  const child = spawn('bwrap', args, { stdio: ['ignore', 'ignore', 'inherit', fd] });
  closeSync(fd);
  return closed(child);
}

const contenders = (line, preset) => [
  ['un-isolated', () => closed(spawn('/bin/sh', ['-c', line], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] }))],
  [
    `nsjs, ${preset}`,
    () =>
      spawnIsolated('/bin/sh', ['-c', line], {
        preset,
        mounts: [{ type: 'bind', source: work, target: '/work', readonly: false }],
        cwd: '/work',
      }),
  ],
  [
    `nsjs, ${preset}, without landlock`,
    () =>
      spawnIsolated('/bin/sh', ['-c', line], {
        preset,
        landlock: 'off',
        mounts: [{ type: 'bind', source: work, target: '/work', readonly: false }],
        cwd: '/work',
      }),
  ],
  ...(hasBwrap ? [['bwrap with Docker’s filter', () => bwrap(line)]] : []),
];

const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];

async function measure(list) {
  const times = new Map(list.map(([name]) => [name, []]));
  for (let round = -2; round < rounds; round++) {
    for (const [name, run] of list) {
      const start = performance.now();
      await run();
      if (round >= 0) times.get(name).push(performance.now() - start);
    }
    process.stderr.write(`\r${Math.max(round + 1, 0)} of ${rounds}`);
  }
  process.stderr.write('\r');
  return Object.fromEntries([...times].map(([name, all]) => [name, median(all)]));
}

const results = {};
for (const [title, line, preset] of [
  [`Compile: gcc -O2, ${files} files`, compile, 'build'],
  [`System calls: ${calls} times open, fstat, read, close, stat, getppid`, './calls', 'untrusted'],
]) {
  const rows = await measure(contenders(line, preset));
  results[title] = rows;
  console.log(title);
  for (const [name, time] of Object.entries(rows))
    console.log(`  ${name.padEnd(44)}${time.toFixed(1).padStart(9)} ms${(time / rows['un-isolated']).toFixed(3).padStart(9)} ×`);
  console.log('');
}

const sandbox = await Sandbox.open({ limits: { cpu: 1 } });
const samples = 2000;
for (let index = 0; index < samples; index++) sandbox.stats();
const start = performance.now();
for (let index = 0; index < samples; index++) sandbox.stats();
results.sample = ((performance.now() - start) / samples) * 1000;
await sandbox.close();
console.log(`One sample of stats(): ${results.sample.toFixed(0)} µs (target: at most 150)\n`);
mkdirSync('bench/results', { recursive: true });
writeFileSync('bench/results/steady.json', `${JSON.stringify(results, undefined, 2)}\n`);
console.log('written to bench/results/steady.json');
