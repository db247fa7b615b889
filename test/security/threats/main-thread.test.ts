// Data about a program that this process reads on its main thread. The program can neither make the data long nor delay
// the read.
import { type EgressEvent, Sandbox, spawnIsolated } from 'nsjs';
import { sleep } from '../../support';

// Loaded with require: the library calls fs through the same object, so that the calls can be replaced.
const fs = require('node:fs') as typeof import('node:fs');

interface Read {
  readonly path: string;
  readonly bytes: number;
}

/** Records blocking reads of /proc and of cgroups by path on this thread while `act` runs. */
async function readsDuring(act: () => Promise<unknown>): Promise<readonly Read[]> {
  const reads: Read[] = [];
  const paths = new Map<number, string>();
  const { openSync, readSync, readFileSync } = fs;
  const isWatched = (path: unknown): path is string => typeof path === 'string' && /^\/(proc\/\d|sys\/fs\/cgroup)/.test(path);
  const hooks = fs as unknown as Record<string, unknown>;
  hooks.openSync = (...args: Parameters<typeof openSync>) => {
    const fd = openSync(...args);
    if (isWatched(args[0])) paths.set(fd, args[0]);
    else paths.delete(fd);
    return fd;
  };
  hooks.readSync = (...args: Parameters<typeof readSync>) => {
    const bytes = readSync(...args);
    const path = paths.get(args[0]);
    if (path !== undefined) reads.push({ path, bytes });
    return bytes;
  };
  hooks.readFileSync = (...args: Parameters<typeof readFileSync>) => {
    const found = readFileSync(...args);
    if (isWatched(args[0])) reads.push({ path: args[0], bytes: found.length });
    return found;
  };
  try {
    await act();
  } finally {
    Object.assign(fs, { openSync, readSync, readFileSync });
  }
  return reads;
}

// A read of these files waits for the program's memory, or returns data that the program can make arbitrarily long.
const forbidden = /\/(cmdline|environ|maps|smaps|smaps_rollup|numa_maps|mem|auxv|net\/(tcp|udp|unix|netlink)6?)$/;
const most = 64 * 1024;

/**
 * A program with many processes, descriptors, connections and long names. Its first connection is made while there is
 * little to search.
 */
const hostile = `use IO::Socket::INET; use POSIX;
  $0 = "x" x 4000; my @kept;
  push @kept, IO::Socket::INET->new(PeerAddr => "9.9.9.9:81", Timeout => 1); select undef, undef, undef, 0.5;
  for (1..12) { fork or last }
  my $l = IO::Socket::INET->new(Listen => 500, LocalAddr => "127.0.0.1:0", Proto => "tcp") or die;
  for (1..60) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:" . $l->sockport) or last; push @kept, $c }
  for (1..200) { open my $f, "<", "/dev/null"; push @kept, $f }
  my @held; for (1..5) { push @held, IO::Socket::INET->new(PeerAddr => "9.9.9.9:81", Timeout => 0.2); select undef, undef, undef, 0.1 }
  sleep 3`;

test('reads about a program are bounded in size and never wait for it', async () => {
  const events: EgressEvent[] = [];
  const reads = await readsDuring(async () => {
    await using sandbox = await Sandbox.open({
      network: {
        egress: {
          allow: ['good.test'],
          resolve: () => ['9.9.9.9'],
          onConnect: ({ program }) => {
            program();
            return 'deny';
          },
        },
      },
      limits: { pids: 128, memory: '256M', idle: 60_000, cpuTime: 60_000 },
    });
    sandbox.events.on('egress', (event) => events.push(event));
    const running = sandbox.spawn('perl', ['-e', hostile], { reject: false });
    await running.spawned;
    for (let looks = 0; looks < 15; looks++) {
      sandbox.stats();
      running.stats();
      sandbox.namespace('net').inspect();
      await sleep(100);
    }
    await sandbox.close();
    await running.catch(() => {});
    await spawnIsolated('perl', ['-e', hostile], { limits: { wallTime: 500, memory: '64M', pids: 64 }, reject: false });
  });
  expect(reads.length).toBeGreaterThan(10);
  expect(reads.filter(({ bytes }) => bytes > most)).toEqual([]);
  expect([...new Set(reads.filter(({ path }) => forbidden.test(path)).map(({ path }) => path.replace(/\d+/, 'PID')))]).toEqual([]);
  // Programs that belong to refused connections were found nevertheless.
  expect(events.some((event) => event.kind === 'refused' && /^x+$/.test(event.program?.command ?? ''))).toBe(true);
});
