import { readlinkSync } from 'node:fs';
import { namespaceTypes, type SpawnOptions, spawnIsolated } from 'nsjs';
import { isRoot, output, sh, testIf, thrown } from '../../support';

const link = (type: string, path = '/proc/self/ns') => readlinkSync(`${path}/${type}`);
const inside = (type: string, options: SpawnOptions = {}) => output('readlink', [`/proc/self/ns/${type}`], options);

test.each(namespaceTypes.filter((type) => type !== 'time'))('%s is a new namespace by default', async (type) => {
  expect(await inside(type)).not.toBe(link(type));
});

test('time is shared unless asked for', async () => {
  expect(await inside('time')).toBe(link('time'));
  expect(await inside('time', { namespaces: { time: true } })).not.toBe(link('time'));
});

test.each(['ipc', 'uts', 'cgroup'] as const)('%s can be the host’s', async (type) => {
  expect(await inside(type, { namespaces: { [type]: 'host' } })).toBe(link(type));
  expect(await inside(type, { namespaces: { [type]: false } })).toBe(link(type));
});

test('the network can be the host’s', async () => {
  expect(await inside('net', { network: 'host' })).toBe(link('net'));
});

test('the mount namespace can be the host’s', async () => {
  const options = { namespaces: { mnt: false }, root: 'host' } as const;
  expect(await inside('mnt', options)).toBe(link('mnt'));
});

test('sharing the mount namespace refuses a root of its own', () => {
  expect(thrown(() => spawnIsolated('true', [], { namespaces: { mnt: false } })).message).toMatch(/^namespaces\.mnt: /);
});

testIf(isRoot, 'root', 'the user namespace can be the host’s; the program still is nobody', async () => {
  expect(await inside('user', { namespaces: { user: false } })).toBe(link('user'));
  expect(Number(await output('id', ['-u'], { namespaces: { user: false } }))).toBeGreaterThanOrEqual(1_900_000_000);
  expect(await sh('echo own > ~/file; cat ~/file', { namespaces: { user: false } })).toBe('own');
});

testIf(!isRoot, 'an unprivileged user', 'only root can share the user namespace', () => {
  expect(thrown(() => spawnIsolated('true', [], { namespaces: { user: false } })).message).toMatch(/^namespaces\.user: only root/);
});

test('with the host’s pid namespace everything is still killed at the end', async () => {
  const result = await spawnIsolated('/bin/sh', ['-c', 'sleep 98765 & setsid sleep 98765 & echo $!'], {
    proc: 'off',
    namespaces: { pid: false },
  });
  const pid = Number(result.stdout);
  expect(pid).toBeGreaterThan(100);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('the report names the namespaces that the program is in', async () => {
  const { stdout, report } = await spawnIsolated('/bin/sh', ['-c', 'readlink /proc/self/ns/*']);
  for (const type of namespaceTypes) expect(stdout).toContain(`${type}:[${report.namespaces[type]}]`);
  expect(report.shared).toEqual(['time']);
});

test('the program is process 2 of its own pid namespace', async () => {
  expect(await sh('echo $$')).toBe('2');
});

test('an unknown type is named', () => {
  const options = { namespaces: { nett: true } } as unknown as SpawnOptions;
  expect(thrown(() => spawnIsolated('true', [], options))).toMatchObject({ name: 'OptionError', path: 'namespaces.nett' });
});
