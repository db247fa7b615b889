// load.mjs [ADDON [ARCH]]: loads the addon in a process of glibc and in one of musl, with every symbol resolved at
// once. Node has no part in it: a small program stands in for it, because there is no Node for musl to test with. Files
// for arm64 run under qemu-user. A missing tool is reported as skipped, with the package that provides it.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const [addon = 'build/Release/nsjs.node', arch = process.arch] = process.argv.slice(2);
const machine = { x64: 'x86_64', arm64: 'aarch64' }[arch];
const triple = `${machine}-linux-gnu`;
const isForeign = arch !== process.arch;
const compiler = isForeign ? `${triple}-gcc` : 'gcc';
const emulator = isForeign ? [`qemu-${machine}`] : [];
const muslRoot = isForeign ? join(homedir(), '.cache/nsjs-musl', arch) : '/';
const muslHint = isForeign ? `bash scripts/check/get-musl.sh ${arch}` : 'apt-get install musl-dev';
const startFiles = join(muslRoot, `usr/lib/${machine}-linux-musl`);
const libraries = join(muslRoot, `lib/${machine}-linux-musl`);
const flags = ['-O1', '-Wall', '-Werror', '-rdynamic'];

/** Links the host program as a program of musl: with its headers, start files and C library in place of glibc's. */
const muslFlags = {
  before: ['-nostdinc', '-isystem', join(muslRoot, `usr/include/${machine}-linux-musl`), '-nostdlib', '-no-pie', '-fno-pie'],
  after: [...['crt1.o', 'crti.o', 'crtn.o'].map((name) => join(startFiles, name)), `-L${libraries}`, '-lc'],
};

const kinds = [
  { libc: 'glibc', before: [], after: ['-ldl'], runner: isForeign ? [...emulator, '-L', `/usr/${triple}`] : [] },
  { libc: 'musl', ...muslFlags, runner: [...emulator, join(muslRoot, `lib/ld-musl-${machine}.so.1`)] },
];

/** Returns the tool that is missing for a test with this C library. */
function missingFor(libc) {
  if (spawnSync(compiler, ['--version']).error) return `${compiler} (apt-get install ${isForeign ? `gcc-${machine}-linux-gnu` : 'gcc'})`;
  if (isForeign && spawnSync(emulator[0], ['--version']).error) return `${emulator[0]} (apt-get install qemu-user)`;
  if (libc === 'musl' && !existsSync(join(startFiles, 'crt1.o'))) return `musl for ${arch} (${muslHint})`;
  return undefined;
}

function stubs() {
  const names = execFileSync('nm', ['-D', '--undefined-only', addon], { encoding: 'utf8' }).match(/\b(napi|node_api|uv)_\w+/g);
  return names.map((name) => `int ${name}(void) { return 0; }\n`).join('');
}

function load({ libc, before, after, runner }, directory) {
  const missing = missingFor(libc);
  if (missing) {
    console.log(`skipped: ${arch} with ${libc}: ${missing}`);
    return true;
  }
  const host = join(directory, `load-${libc}`);
  execFileSync(compiler, [...before, ...flags, '-o', host, 'test/native/load.c', join(directory, 'stubs.c'), ...after], {
    stdio: 'inherit',
  });
  const [command, ...args] = [...runner, host, resolve(addon)];
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  console.log(`${addon}: ${status === 0 ? 'loads' : `does not load (${error?.message ?? `exit status ${status}`})`} with ${libc}`);
  return status === 0;
}

const directory = mkdtempSync(join(tmpdir(), 'nsjs-load-'));
try {
  writeFileSync(join(directory, 'stubs.c'), stubs());
  if (kinds.map((kind) => load(kind, directory)).includes(false)) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true });
}
