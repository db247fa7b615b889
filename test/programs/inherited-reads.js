// Prints as JSON which properties nsjs reads from Object.prototype. An accessor for every name in the code of nsjs is
// defined there and records the caller. Argument: the directory of the build.
const { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const build = process.argv[2];
const { spawnIsolated, spawnIsolatedSync, Sandbox, SandboxPool } = require(build);
const isRoot = process.geteuid() === 0;

const files = readdirSync(build, { recursive: true })
  .filter((name) => name.endsWith('.js') && !/^cli\b/.test(name))
  .map((name) => join(build, name));
// All files are loaded first, because a file loaded later would run with the accessors already in place.
for (const file of files.filter((path) => !/(worker|-main)\.js$/.test(path))) require(file);

// The language itself reads these for every iterator, await and property descriptor.
const ofTheLanguage = ['next', 'return', 'then', 'value', 'get', 'set', 'writable', 'enumerable', 'configurable'];
const names = new Set(files.flatMap((file) => readFileSync(file, 'utf8').match(/[A-Za-z_$][\w$]*/g) ?? []));
for (const name of [...Object.getOwnPropertyNames(Object.prototype), ...ofTheLanguage]) names.delete(name);

const found = new Set();
let isOn = false;
for (const name of names)
  Object.defineProperty(Object.prototype, name, {
    configurable: true,
    get() {
      if (!isOn) return undefined;
      isOn = false;
      const [, , asker = ''] = new Error().stack.split('\n');
      isOn = true;
      if (asker.includes(build)) found.add(`${name} in ${asker.slice(asker.indexOf(build) + build.length + 1).replace(/:\d+\)?$/, '')}`);
      return undefined;
    },
    set(value) {
      Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
    },
  });

async function use() {
  const directory = mkdtempSync(join(tmpdir(), 'nsjs-inherited-'));
  mkdirSync(join(directory, 'a'));
  const mounts = [
    { type: 'bind', source: directory, target: '/w', readonly: false },
    { type: 'readonly', target: '/w/a' },
    { type: 'tmpfs', target: '/x' },
    { type: 'file', target: '/f', data: 'a' },
    { type: 'dir', target: '/d' },
    { type: 'symlink', target: '/l', to: '/d' },
  ];
  const limits = { memory: '64M', pids: 10, wallTime: 60_000, cpuTime: 30_000, idle: 40_000 };
  const seccomp = { deny: [{ names: ['mkdir'], errno: 'EACCES', when: [{ index: 1, op: 'eq', value: 0 }] }] };
  try {
    for (const preset of ['untrusted', 'node', 'build', 'landlock', 'none', 'container']) await spawnIsolated('true', [], { preset });
    await spawnIsolated('true', [], { limits, mounts, seccomp, verify: true, hostname: 'a', violations: true, timeout: 60_000 });
    spawnIsolatedSync('true', [], { stdio: 'ignore' });
    const late = { timeout: 50, killGrace: 50, reject: false };
    await spawnIsolated('sleep', ['5'], late);
    spawnIsolatedSync('sleep', ['5'], late);
    await spawnIsolated('true', [], { stdio: 'pty' });
    await spawnIsolated('true', [], { network: { egress: { allow: ['example.test'], resolve: () => ['127.0.0.1'] } } });
    if (isRoot) await spawnIsolated('true', [], { root: { lower: '/' } });
    const sandbox = await Sandbox.open({ limits: { pids: 20 }, mounts });
    await sandbox.spawn('true', [], { env: { A: '1' }, limits: { openFiles: 50 } });
    sandbox.stats();
    await sandbox.mount({ type: 'tmpfs', target: '/tmp/x' });
    await sandbox.fs.writeFile('/tmp/a', 'x');
    await sandbox.close();
    const pool = await SandboxPool.open();
    await pool.spawn('true');
    await pool.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

isOn = true;
use()
  .catch((error) => {
    isOn = false;
    found.add(error.stack);
  })
  .finally(() => {
    isOn = false;
    process.stdout.write(JSON.stringify([...found].sort()));
  });
