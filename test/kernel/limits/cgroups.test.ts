import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Sandbox, spawnIsolated } from 'nsjs';
import { parseMounts } from '../../../dist/cgroup/hierarchies';
import { sweep } from '../../../dist/cgroup/sweep';
import { cgroups, hasCgroups, isRoot, sleep, testIf, thrown, trySh } from '../../support';

const directories = [...new Set(Object.values(cgroups.version === undefined ? {} : cgroups.parents))];

const groupsNow = () => directories.flatMap((directory) => readdirSync(directory).filter((name) => name.startsWith('nsjs-')));

testIf(hasCgroups && isRoot, 'cgroups of root', 'cgroup.parent: cgroups of sandboxes are created in it, and it remains', async () => {
  const parent = `/nsjs-test-${process.pid}/web`;
  const { report } = await spawnIsolated('true', [], { cgroup: { parent } });
  const made = (report.cgroup?.directories ?? []).map((directory) => join(directory, '..'));
  expect(made.length).toBeGreaterThan(0);
  for (const directory of made) {
    expect(directory).toContain(parent);
    expect(readdirSync(directory).filter((name) => name.startsWith('nsjs-'))).toEqual([]);
  }
  const result = await trySh('perl -e \'my @a; push @a, "x" x 1048576 for 1..100\'', {
    cgroup: { parent },
    limits: { memory: '32M', oomGroup: true },
  });
  expect(result.reason).toBe('oom');
  for (const root of [...new Set(made)].map((directory) => directory.slice(0, directory.indexOf('/web')))) {
    for (const directory of [join(root, 'web'), root]) if (existsSync(directory)) rmdirSync(directory);
  }
  // Directories of the same name in the other hierarchies.
  for (const mount of parseMounts(readFileSync('/proc/self/mountinfo', 'latin1')))
    for (const directory of [join(mount.directory, parent), join(mount.directory, parent, '..')])
      if (existsSync(directory)) rmdirSync(directory);
});

testIf(
  cgroups.version === 1 && isRoot,
  'cgroups of version 1 of root',
  'oomGroup: a parent cgroup that runs out of memory does not end the other sandboxes in it',
  async () => {
    const parent = `/nsjs-test-above-${process.pid}`;
    const { report } = await spawnIsolated('true', [], { cgroup: { parent } });
    const made = (report.cgroup?.directories ?? []).map((directory) => join(directory, '..'));
    const memory = made.find((directory) => existsSync(join(directory, 'memory.limit_in_bytes'))) ?? '';
    writeFileSync(join(memory, 'memory.limit_in_bytes'), '90M');
    const still = spawnIsolated('sleep', ['2'], { cgroup: { parent }, limits: { memory: '64M', oomGroup: true }, reject: false });
    await still.spawned;
    const eat = 'my @a; push @a, "x" x 1048576 for 1..150';
    await spawnIsolated('perl', ['-e', eat], { cgroup: { parent }, limits: { memory: '200M' }, reject: false });
    expect(Number(readFileSync(join(memory, 'memory.failcnt'), 'latin1'))).toBeGreaterThan(0);
    expect(await still).toMatchObject({ reason: 'exited', exitCode: 0, limits: { oomKills: 0 } });
    for (const directory of new Set(made)) rmdirSync(directory);
    // Directories in hierarchies that none of these limits uses.
    for (const mount of parseMounts(readFileSync('/proc/self/mountinfo', 'latin1')))
      if (existsSync(join(mount.directory, parent))) rmdirSync(join(mount.directory, parent));
  },
);

testIf(hasCgroups, 'cgroups', 'cgroup.parent: an invalid path or an unknown option is refused by name', async () => {
  for (const parent of ['relative', '/a/../b', '/', '/a//b', ''])
    expect(thrown(() => spawnIsolated('true', [], { cgroup: { parent } }))).toMatchObject({ path: 'cgroup.parent' });
  expect(thrown(() => spawnIsolated('true', [], { cgroup: { parents: '/a' } as object }))).toMatchObject({ path: 'cgroup.parents' });
});

testIf(hasCgroups, 'cgroups', 'cgroups of dead processes are removed, those in use and those of others remain', async () => {
  const [directory = ''] = directories;
  const dead = join(directory, 'nsjs-4194303-1-000000000');
  const young = join(directory, 'nsjs-4194302-1-000000000');
  const other = join(directory, `nsjs-test-other-${process.pid}`);
  for (const path of [dead, join(dead, 'p1'), young, other]) mkdirSync(path);
  const long = Date.now() / 1000 - 60;
  for (const path of [dead, other]) utimesSync(path, long, long);
  const sandbox = await Sandbox.open();
  sweep(directories);
  expect([dead, young, other].map((path) => existsSync(path))).toEqual([false, true, true]);
  expect(await sandbox.spawn('echo', ['alive'])).toMatchObject({ stdout: 'alive' });
  await sandbox.close();
  for (const path of [young, other]) rmdirSync(path);
});

testIf(hasCgroups, 'cgroups', 'a process that is killed leaves no cgroup behind', async () => {
  const script = join(__dirname, '../../security/leaks/spawner.js');
  const child: ChildProcess = fork(script, [], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const of = () => groupsNow().filter((name) => name.startsWith(`nsjs-${child.pid}-`));
  child.kill('SIGKILL');
  for (let waited = 0; of().length > 0 && waited < 20_000; waited += 50) await sleep(50);
  expect(of()).toEqual([]);
});

testIf(hasCgroups, 'cgroups', 'threads of one process use different cgroup names', async () => {
  const script = `const { spawnIsolated } = require(${JSON.stringify(process.cwd())}); const { parentPort } = require('node:worker_threads');
    spawnIsolated('sleep', ['0.3']).then(({ report }) => parentPort.postMessage(report.cgroup.directories[0]));`;
  const told = await Promise.all(
    [1, 2, 3].map(
      () => new Promise((resolve, reject) => new Worker(script, { eval: true }).once('message', resolve).once('error', reject)),
    ),
  );
  expect(new Set(told).size).toBe(3);
});
