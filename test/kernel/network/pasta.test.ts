import { execFileSync } from 'node:child_process';
import { createServer as createHttp } from 'node:http';
import { Sandbox, spawnIsolated } from 'nsjs';
import { pastaMissing } from '../../../dist/network/setup/pasta';
import { isRoot, testIf, thrown } from '../../support';
import { fromHere, serve } from './on-network';
import { inLab, labNeeded } from './world';

describe('pasta', () => {
  const missing = pastaMissing();
  testIf(
    inLab && isRoot && !missing,
    missing?.reason ?? `${labNeeded}, as root`,
    'a long-lived sandbox reaches the networks of the host, but not the host itself',
    async () => {
      const there = await Sandbox.open({
        preset: 'node',
        network: { veth: { hostName: 'uplink1', hostAddresses: ['203.0.112.1/24'], addresses: ['203.0.112.80/24'] } },
      });
      await there.net.listen(
        createHttp((_, response) => response.end('outside')),
        80,
        '203.0.112.80',
      );
      execFileSync('ip', ['route', 'add', 'default', 'via', '203.0.112.80']);
      const own = createHttp((_, response) => response.end('host')).listen(8099, '127.0.0.1');
      const sandbox = await Sandbox.open({ preset: 'node', network: { pasta: { publish: { 8100: 80 } } } });
      try {
        const { stdout } = await sandbox.spawn(
          '/bin/sh',
          [
            '-c',
            'curl -sS -m 5 http://203.0.112.80/; echo; curl -sS -m 2 http://203.0.112.80:8099/; echo $?; curl -sS http://127.0.0.1:8099/; echo $?',
          ],
          {
            reject: false,
          },
        );
        expect(stdout.split('\n')).toEqual(['outside', expect.stringMatching(/7|28/), '7']);
        await serve(sandbox, 80, 'published');
        expect(await fromHere('127.0.0.1', 8100)).toBe('published');
      } finally {
        await sandbox.close();
        await there.close();
        own.close();
      }
      expect(execFileSync('sh', ['-c', 'grep -lz "^pasta|/pasta$" /proc/[0-9]*/cmdline 2>/dev/null || true'], { encoding: 'utf8' })).toBe(
        '',
      );
    },
  );

  test('is refused for a one-shot run', () => {
    expect(thrown(() => spawnIsolated('true', [], { network: { pasta: {} } }))).toMatchObject({ path: 'network.pasta' });
  });
});
