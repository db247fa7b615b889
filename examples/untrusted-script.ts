// Runs an unreviewed script with limits, and shows which attacks are refused. `npm run demo` starts this.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Result, type SpawnOptions, spawnIsolated } from 'nsjs';

const limits = { memory: '64M', pids: 24, wallTime: 5000 } as const;

/** Commands that an attacker might try; each prints `got in` if it works. */
const attempts: Readonly<Record<string, string>> = {
  'read a file of the host': 'cat "$SECRET" && echo got in',
  'read the password hashes': 'cat /etc/shadow && echo got in',
  'list the processes of the host':
    'n=$(ls -d /proc/[0-9]* | wc -l); if [ "$n" -gt 8 ]; then echo got in; else echo "sees $n processes, its own" >&2; exit 1; fi',
  'reach a server of the host':
    'perl -MIO::Socket::INET -e \'IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ENV{PORT}, Timeout => 1) ? print "got in" : die "$@\\n"\'',
  'write to the system': 'echo x > /usr/bin/evil && echo got in',
  'become root': 'unshare -Ur true && echo got in',
  'mount something': 'mount -t tmpfs none /tmp && echo got in',
  'look into process 1': 'head -c 1 /proc/1/environ && echo got in',
  'a fork bomb':
    'bomb() { bomb | bomb & }; bomb; sleep 1; i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done && [ "$(jobs -p | wc -l)" -ge 40 ] && echo got in',
  'a memory bomb': 'perl -e \'my @a; push @a, "x" x 1048576 for 1..256; print "got in"\'',
};

const script = `
  const words = 'the quick brown fox jumps over the lazy dog and the cat'.split(' ');
  const count = {};
  for (const word of words) count[word] = (count[word] ?? 0) + 1;
  console.log('most frequent word:', Object.entries(count).sort((a, b) => b[1] - a[1])[0].join(' × '));
  console.log('I am uid', process.getuid(), 'on', require('os').hostname(), 'with', Object.keys(process.env).length, 'variables');
`;

function describe({ reason, exitCode, signal, stderr, limits: met }: Result): string {
  if (reason === 'oom') return 'killed: out of memory';
  if (reason !== 'exited') return `ended: ${reason}${signal ? ` (${signal})` : ''}`;
  const first = stderr.split('\n').find((line) => line !== '') ?? '';
  return `exit code ${exitCode}${met.pids > 0 ? `, ${met.pids} forks refused` : ''}${first ? `: ${first.slice(0, 90)}` : ''}`;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'nsjs-demo-'));
  const server = createServer((_, response) => response.end('secret')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  writeFileSync(join(directory, 'secret'), 'the key');
  writeFileSync(join(directory, 'job.js'), script);
  try {
    console.log('— the job —');
    const job = await spawnIsolated(process.execPath, ['/job.js'], {
      preset: 'node',
      mounts: [{ type: 'bind', source: join(directory, 'job.js'), target: '/job.js' }],
    });
    console.log(job.stdout);

    console.log('\n— what was in force —');
    console.log(JSON.stringify(job.report, undefined, 2));
    console.log(`it took ${job.durationMs.toFixed(0)} ms and ${((job.usage.maxRss ?? 0) / 2 ** 20).toFixed(0)} MiB`);

    console.log('\n— what is refused —');
    const env = { SECRET: join(directory, 'secret'), PORT: String((server.address() as AddressInfo).port) };
    let escaped = 0;
    for (const [name, line] of Object.entries(attempts)) {
      const options: SpawnOptions = { limits, env, reject: false };
      const result = await spawnIsolated('/bin/sh', ['-c', line], { ...options, encoding: 'utf8' });
      const gotIn = result.stdout.includes('got in');
      if (gotIn) escaped++;
      console.log(`${gotIn ? 'OPEN   ' : 'refused'}  ${name.padEnd(32)} ${describe(result)}`);
    }
    if (escaped > 0) process.exitCode = 1;
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
}

void main();
