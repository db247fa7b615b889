// Completes package-lock.json after `npm install` from a mirror that lacks the binaries of other platforms. npm leaves
// those optional packages out of the lock file, and `npm ci` then rejects it. This adds an entry with its platform for
// each, so that npm skips it elsewhere.
import { readFileSync, writeFileSync } from 'node:fs';

const systems = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'win32', 'wasm32', 'sunos', 'aix'];
const processors = ['arm64', 'arm', 'x64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x'];

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const added = [];

for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const known = [`${path}/node_modules/${name}`, `node_modules/${name}`].some((place) => place in lock.packages);
    if (known) continue;
    const words = name.split(/[/@-]/);
    const os = systems.filter((system) => words.includes(system));
    const cpu = processors.filter((processor) => words.some((word) => word === processor));
    if (os.length === 0) throw new Error(`${name}: the platform cannot be derived from the name`);
    const libc = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {};
    lock.packages[`node_modules/${name}`] = { version, ...(cpu.length > 0 ? { cpu } : {}), dev: true, optional: true, os, ...libc };
    added.push(name);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(`added ${added.length} packages of other platforms`);
