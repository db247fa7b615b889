// binaries.mjs [LAUNCHER ADDON [PREFIX]]: checks the built binaries. The launcher needs no library and is small. The
// addon needs no library either and names no version of a symbol, so that it loads with glibc and with musl, and
// exports only its two entry points. PREFIX is that of the binutils, for another architecture.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

const [launcher = 'build/Release/nsjs-launcher', addon = 'build/Release/nsjs.node', prefix = ''] = process.argv.slice(2);
const limits = { launcher: 32 * 1024, addon: 300 * 1024 };
const problems = [];
const run = (tool, ...args) => execFileSync(`${prefix}${tool}`, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

function checkSize(path, limit) {
  const { size } = statSync(path);
  console.log(`${path}: ${size} bytes of ${limit}`);
  if (size > limit) problems.push(`${path} has ${size} bytes, the limit is ${limit}`);
}

function checkLauncher() {
  checkSize(launcher, limits.launcher);
  const undefinedSymbols = run('nm', '-u', launcher).trim();
  if (undefinedSymbols !== '') problems.push(`the launcher needs ${undefinedSymbols}`);
  if (/NEEDED|INTERP/.test(run('readelf', '-dlW', launcher))) problems.push('the launcher is not static');
}

/** Names and types (nm(1)) of the dynamic symbols. */
const symbols = () =>
  run('nm', '-D', addon)
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).slice(-2))
    .map(([type, name]) => ({ type, name }));

const list = (found) => found.map(({ name }) => name).join(', ');

function checkSymbols() {
  const all = symbols();
  const versioned = all.filter(({ name }) => name.includes('@'));
  if (versioned.length > 0) problems.push(`the addon names versions of symbols, which musl lacks: ${list(versioned)}`);
  const needed = all.filter(({ type }) => type === 'U');
  const cxx = needed.filter(({ name }) => /^(_Z|__cxa_|__gxx_)/.test(name));
  if (cxx.length > 0) problems.push(`the addon needs ${list(cxx)}: add it to src/addon/runtime.cc`);
  const checked = needed.filter(({ name }) => /_chk$/.test(name));
  if (checked.length > 0) problems.push(`the addon needs ${list(checked)} of _FORTIFY_SOURCE, which musl lacks`);
  const exported = all.filter(({ type }) => !/^[Uwv]$/.test(type));
  const stray = exported.filter(({ name }) => !/^(napi_register_module_v1|node_api_module_get_api_version_v1)$/.test(name));
  if (stray.length > 0) problems.push(`the addon exports ${list(stray)}`);
  if (exported.length - stray.length !== 2) problems.push('the addon lacks an entry point of Node-API');
}

function checkAddon() {
  checkSize(addon, limits.addon);
  const headers = run('readelf', '-dlW', addon);
  const libraries = [...headers.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name);
  if (libraries.length > 0) problems.push(`the addon needs ${libraries.join(', ')}`);
  // A thread_local variable of a loaded file needs __tls_get_addr(), or TLS descriptors, whose slow path in older
  // versions of glibc changes vector registers that the compiler expects to be kept (glibc bug 31372).
  if (/^\s*TLS\s/m.test(headers)) problems.push('the addon has thread_local variables: keep them in its Environment');
  checkSymbols();
}

checkLauncher();
checkAddon();
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
