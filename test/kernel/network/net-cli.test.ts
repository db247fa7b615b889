import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Sandbox } from 'nsjs';
import { netText } from '../../../dist/cli/net';
import { parseSockets } from '../../../dist/network/inspect';

const cli = join(__dirname, '../../../dist/cli/main.js');
const nsjs = (...args: readonly string[]) => execFileSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

test('nsjs net prints interfaces, routes, rules and connections of a sandbox', async () => {
  const sandbox = await Sandbox.open({ network: { egress: { allow: ['good.test'] } } });
  const program = sandbox.spawn('sleep', ['30'], { reject: false });
  await program.spawned;
  try {
    const text = nsjs('net', `${process.pid}`);
    expect(text).toContain(sandbox.id.startsWith('nsjs-') ? `of ${process.pid}: sleep 30` : '');
    expect(text).toMatch(/^lo +- +up +65536/m);
    expect(text).toMatch(/^local default - +lo +127\.0\.0\.1$/m);
    expect(text).toMatch(/^nsjs +take +\d+$/m);
    expect(text).toMatch(/^tcp +LISTEN 127\.0\.0\.1:61001/m);
    const [only] = JSON.parse(nsjs('net', '--json', `${process.pid}`));
    expect(only.facts.interfaces[0]).toMatchObject({ name: 'lo', addresses: ['127.0.0.1/8', '::1/128'] });
  } finally {
    await sandbox.close();
  }
});

test('an unknown sandbox is an error', () => {
  const { status, stderr } = spawnSync(process.execPath, [cli, 'net', 'nobody'], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toContain("no sandbox 'nobody'");
});

test('lines of /proc/net/tcp6 are parsed, and a sandbox without facts is printed in one line', () => {
  const line =
    '   0: 00000000000000000000000001000000:EE49 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1';
  expect(parseSockets(`head\n${line}\n`, 'tcp')).toEqual([
    { protocol: 'tcp', local: '[::1]:61001', remote: '[::]:0', state: 'LISTEN', uid: 1000 },
  ]);
  const sandbox = { id: 'x', launcher: 1, init: 2, owner: 3, uid: 0, openedAt: 0, command: '' };
  expect(netText(sandbox, { interfaces: [], routes: [], rules: {}, connections: [] })).toBe('x of 3');
});

test('nsjs run --allow enables egress and prints refused connections', () => {
  const run = spawnSync(
    process.execPath,
    [cli, 'run', '--allow', 'good.test:80', '--', '/bin/sh', '-c', 'curl -sS http://1.2.3.4/; curl -sS http://bad.test/'],
    {
      encoding: 'utf8',
    },
  );
  expect(run.stderr).toContain('nsjs: refused 1.2.3.4:80: unlisted');
  expect(run.stderr).toContain('nsjs: refused bad.test: not allowed');
  expect(spawnSync(process.execPath, [cli, 'run', '--deny', 'x', '--', 'true'], { encoding: 'utf8' })).toMatchObject({ status: 2 });
});
