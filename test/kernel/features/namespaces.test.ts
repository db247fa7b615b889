import { readlinkSync } from 'node:fs';
import { namespaceTypes, type SpawnOptions, spawnIsolated } from 'nsjs';
import { isRoot, output, sh, testIf, thrown } from '../../support';

const link = (type: string, path = '/proc/self/ns') => readlinkSync(`${path}/${type}`);
const inside = (type: string, options: SpawnOptions = {}) => output('readlink', [`/proc/self/ns/${type}`], options);

test.each(namespaceTypes.filter((type) => type !== 'time'))('%s is a new namespace by default', async (type) => {
  expect(await inside(type)).not.toBe(link(type));
});

test('the time namespace is shared unless a new one is requested', async () => {
  expect(await inside('time')).toBe(link('time'));
  expect(await inside('time', { namespaces: { time: true } })).not.toBe(link('time'));
});

test.each(['ipc', 'uts', 'cgroup'] as const)('the %s namespace can be shared with the host', async (type) => {
  expect(await inside(type, { namespaces: { [type]: 'host' } })).toBe(link(type));
  expect(await inside(type, { namespaces: { [type]: false } })).toBe(link(type));
});

test('the network namespace can be shared with the host', async () => {
  expect(await inside('net', { network: 'host' })).toBe(link('net'));
});

test('the mount namespace can be shared with the host', async () => {
  const options = { namespaces: { mnt: false }, root: 'host' } as const;
  expect(await inside('mnt', options)).toBe(link('mnt'));
});

test('a shared mount namespace is refused unless the root is the host’s', () => {
  expect(thrown(() => spawnIsolated('true', [], { namespaces: { mnt: false } })).message).toMatch(/^namespaces\.mnt: /);
});

testIf(isRoot, 'root', 'the user namespace can be shared, and the program is still unprivileged', async () => {
  expect(await inside('user', { namespaces: { user: false } })).toBe(link('user'));
  expect(Number(await output('id', ['-u'], { namespaces: { user: false } }))).toBeGreaterThanOrEqual(1_900_000_000);
  expect(await sh('echo own > ~/file; cat ~/file', { namespaces: { user: false } })).toBe('own');
});

testIf(!isRoot, 'an unprivileged user', 'only root can share the user namespace', () => {
  expect(thrown(() => spawnIsolated('true', [], { namespaces: { user: false } })).message).toMatch(/^namespaces\.user: only root/);
});

test('all processes are killed at the end even in the host’s pid namespace', async () => {
  const result = await spawnIsolated('/bin/sh', ['-c', 'sleep 98765 & setsid sleep 98765 & echo $!'], {
    proc: 'off',
    namespaces: { pid: false },
  });
  const pid = Number(result.stdout);
  expect(pid).toBeGreaterThan(100);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('the report lists the namespaces of the program', async () => {
  const { stdout, report } = await spawnIsolated('/bin/sh', ['-c', 'readlink /proc/self/ns/*']);
  for (const type of namespaceTypes) expect(stdout).toContain(`${type}:[${report.namespaces[type]}]`);
  expect(report.shared).toEqual(['time']);
});

test('the program is process 2 of its own pid namespace', async () => {
  expect(await sh('echo $$')).toBe('2');
});

test('an error about an unknown type names it', () => {
  const options = { namespaces: { nett: true } } as unknown as SpawnOptions;
  expect(thrown(() => spawnIsolated('true', [], options))).toMatchObject({ name: 'OptionError', path: 'namespaces.nett' });
});
