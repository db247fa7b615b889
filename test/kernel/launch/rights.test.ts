// The ids, limits and mounts of this process can change. Outdated values must not be used.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isRoot, testIf } from '../../support';

const dist = JSON.stringify(join(process.cwd(), 'dist'));

/** Runs a script with nsjs in a separate process and returns its output. */
async function run(script: string): Promise<string> {
  const text = `const nsjs = require(${dist}), { spawnIsolated, spawnIsolatedSync, Sandbox, SandboxPool, probe } = nsjs, sys = require(${JSON.stringify(join(process.cwd(), 'dist/sys'))});
    (async () => { ${script} })().catch((error) => { console.log(error); process.exit(1) })`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', text], { cwd: '/' });
  return stdout + stderr;
}

const becomeUser = 'process.setgroups([]); process.setgid(54321); process.setuid(54321);';

testIf(isRoot, 'root', 'a process that changes from root to another user spawns as that user', async () => {
  const script = `const before = await probe(); await spawnIsolated('true'); await spawnIsolated('true');
    ${becomeUser}
    const own = await spawnIsolated('cat', ['/proc/self/uid_map']); console.log(own.report.hostId.uid, spawnIsolatedSync('echo', ['sync']).stdout);
    const sandbox = await Sandbox.open(); console.log((await sandbox.spawn('echo', ['in'])).stdout); await sandbox.close();
    const pool = await SandboxPool.open(); console.log((await pool.spawn('echo', ['pool'])).stdout); await pool.close();
    const after = await probe(); console.log(before.privileged, after.privileged, after.ok);`;
  expect(await run(script)).toBe('54321 sync\nin\npool\ntrue false true\n');
});

testIf(isRoot, 'root', 'after that change no program starts in a sandbox of root, and the error explains why', async () => {
  const script = `const sandbox = await Sandbox.open(); ${becomeUser}
    console.log(await sandbox.spawn('echo', ['on']).catch((error) => error.code + ' ' + error.hint)); await sandbox.close();`;
  expect(await run(script)).toMatch(/^EPERM .*has lost privileges/);
});

test('rlimits that this process has lowered are not exceeded', async () => {
  const script = `await spawnIsolated('true'); const nofile = 7, memlock = 8;
    sys.prlimit(0, nofile, { soft: 128, hard: 128 }); sys.prlimit(0, memlock, { soft: 4096, hard: 4096 });
    console.log((await spawnIsolated('/bin/sh', ['-c', 'ulimit -Hn; ulimit -Hl'])).stdout);`;
  const [files, locked] = (await run(script)).split('\n').map(Number);
  expect(files).toBeLessThanOrEqual(128);
  expect(locked).toBeLessThanOrEqual(4);
});

test('the error about too few descriptors contains a hint', async () => {
  const script = `sys.prlimit(0, 7, { soft: 60, hard: 60 });
    for (const act of [() => spawnIsolated('true'), () => Sandbox.open(), async () => spawnIsolatedSync('true')]) console.log(await act().catch((error) => error.code + ' ' + error.hint));`;
  expect((await run(script)).trim().split('\n')).toEqual([1, 2, 3].map(() => expect.stringMatching(/^(EMFILE|EINVAL) .*ulimit -n/)));
});

testIf(isRoot, 'root', 'a change of the mount namespace of this process is noticed', async () => {
  const script = `await spawnIsolated('true'); sys.unshare(0x00020000); sys.mount(null, '/', null, 0x44000, null);
    sys.mount('none', '/usr/local', 'tmpfs', 0, null); require('node:fs').writeFileSync('/usr/local/new', 'seen');
    console.log((await spawnIsolated('cat', ['/usr/local/new'])).stdout);`;
  expect(await run(script)).toBe('seen\n');
});

testIf(isRoot, 'root', 'stateDir can name another directory if /run is not writable', async () => {
  const script = `const fs = require('node:fs'), directory = fs.mkdtempSync('/tmp/nsjs-state-'); fs.chmodSync(directory, 0o777);
    sys.unshare(0x00020000); sys.mount(null, '/', null, 0x44000, null); sys.mount('none', '/run', 'tmpfs', 1, null);
    const said = (options) => spawnIsolated('echo', ['runs'], options).then(({ stdout }) => stdout, (error) => error.origin + ' ' + error.message);
    console.log(await said({})); console.log(await said({ stateDir: directory })); console.log(await said({ stateDir: directory + '/own' })); fs.rmSync(directory, { recursive: true });`;
  const [unwritable, foreign, own] = (await run(script)).split('\n');
  expect(unwritable).toMatch(/^stateDir .*E(ROFS|NOENT).*option stateDir/);
  expect(foreign).toMatch(/stateDir: users other than root may write/);
  expect(own).toBe('runs');
});
