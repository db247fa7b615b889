// prebuild.mjs [--arch ARCH] [--output DIRECTORY]: makes linux-ARCH/nsjs.node for x64 and arm64 with prebuildify, on
// one x64 machine and without a download. Each file is checked and loaded with glibc and musl before it is put in
// place, by default into prebuilds/. The build happens in a copy, so that build/Release stays as it is.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** Prefix of the compiler and the binutils for an architecture that is not that of this machine. */
const prefixes = { x64: 'x86_64-linux-gnu-', arm64: 'aarch64-linux-gnu-' };
const sources = ['binding.gyp', 'package.json', 'src', 'scripts/build/embed.mjs'];

const { values } = parseArgs({ options: { arch: { type: 'string' }, output: { type: 'string', default: 'prebuilds' } } });

function run(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return;
  throw new Error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n${stdout ?? ''}${stderr ?? ''}`);
}

/** The headers installed with the running Node match its version and need no download. */
function nodeDirectory() {
  const directory = process.env.npm_config_nodedir ?? dirname(dirname(process.execPath));
  if (existsSync(join(directory, 'include/node/uv.h'))) return directory;
  throw new Error(`${directory} has no include/node/uv.h: set npm_config_nodedir to a directory with the headers of Node`);
}

function prefixOf(arch) {
  const prefix = arch === process.arch ? '' : prefixes[arch];
  if (prefix === undefined) throw new Error(`--arch: expected ${Object.keys(prefixes).join(' or ')}, got ${arch}`);
  if (!spawnSync(`${prefix}g++`, ['--version']).error) return prefix;
  throw new Error(`${prefix}g++ is missing: apt-get install g++${prefix === '' ? '' : `-${prefix.slice(0, -1).replace('_', '-')}`}`);
}

/** Builds in a copy of the sources. Returns the path of the addon. */
function build(arch, prefix, copy) {
  for (const name of sources) cpSync(name, join(copy, name), { recursive: true });
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
  const env = { ...process.env, npm_config_nodedir: nodeDirectory(), npm_config_jobs: 'max', CC: `${prefix}gcc`, CXX: `${prefix}g++` };
  const strip = ['--strip', '--strip-bin', `${prefix}strip`];
  const args = [resolve('node_modules/prebuildify/bin.js'), '--napi', '--arch', arch, ...strip, '--cache', join(copy, 'cache')];
  run(process.execPath, args, { cwd: copy, env });
  return join(copy, 'prebuilds', `linux-${arch}`, 'nsjs.node');
}

function prebuild(arch) {
  const prefix = prefixOf(arch);
  const copy = mkdtempSync(join(tmpdir(), 'nsjs-prebuild-'));
  try {
    console.log(`prebuild: linux-${arch}`);
    const addon = build(arch, prefix, copy);
    run(process.execPath, ['scripts/check/binaries.mjs', join(copy, 'build/Release/nsjs-launcher'), addon, prefix], { stdio: 'inherit' });
    run(process.execPath, ['scripts/check/load.mjs', addon, arch], { stdio: 'inherit' });
    const target = join(values.output, `linux-${arch}`, 'nsjs.node');
    mkdirSync(dirname(target), { recursive: true });
    // A process that has loaded the previous file keeps it: the new one does not overwrite it.
    cpSync(addon, `${target}.new`);
    renameSync(`${target}.new`, target);
    console.log(`prebuild: ${target}`);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

try {
  for (const arch of values.arch === undefined ? Object.keys(prefixes) : [values.arch]) prebuild(arch);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
