// Kernel memory, and resources that the kernel counts per user: one sandbox cannot exhaust those of the host and of
// other sandboxes.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type IsolatedProcess, Sandbox, type SandboxOptions, seccompFilter, spawnIsolated } from 'nsjs';
import { machineMemory, socketMemory } from '../../../dist/monitor/socket-memory';
import { hasCgroups, isRoot, isSlow, output, sleep, testIf } from '../../support';

const program = join(__dirname, '../../../build/test/kernel-memory');
// As data, not as a bind mount: the file system of the tests may not support id-mapped mounts.
const mounts = [{ type: 'file', target: '/take', data: readFileSync(program), mode: 0o755 }] as const;
const mebibyte = 2 ** 20;
const kinds = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');

function meminfo(name: string): number {
  return (Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]) * 1024) / mebibyte;
}
const tcpMemory = () => (Number(/^TCP: .* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'latin1'))?.[1]) * 4096) / mebibyte;

interface Taker {
  readonly running: IsolatedProcess<string | Buffer>;
  /** Number of objects it got, and the error message that followed. Undefined if its sandbox ended first. */
  readonly taken: Promise<{ readonly count: number; readonly reason: string } | undefined>;
  release(): Promise<void>;
}

/** Starts a program that takes as many objects of a kind as it can get and holds them until it is released. */
function take(sandbox: Sandbox, kind: string): Taker {
  const running = sandbox.spawn('/take', [kind], { stdio: ['pipe', 'pipe', 'pipe'], reject: false });
  let text = '';
  const taken = new Promise<string | undefined>((resolve) => {
    running.stdout?.on('data', (part: Buffer) => {
      text += part;
      if (text.includes('\n')) resolve(text);
    });
    running.then(
      () => resolve(undefined),
      () => resolve(undefined),
    );
  }).then((line) => {
    const [, count, reason = ''] = /^\S+ (\d+) (.*)\n/.exec(line ?? '') ?? [];
    return count === undefined ? undefined : { count: Number(count), reason };
  });
  const release = async () => {
    running.stdin?.end();
    await running.catch(() => {});
  };
  return { running, taken, release };
}

const openFive = (options: SandboxOptions): Promise<readonly Sandbox[]> =>
  Promise.all(Array.from({ length: 5 }, () => Sandbox.open({ mounts, ...options })));

describe('kernel memory', () => {
  testIf(
    isRoot && hasCgroups && !isSlow,
    'root with cgroups',
    'five sandboxes with a limit of 256M each stay within it, whatever kind of kernel memory they use',
    async () => {
      const limit = 256;
      const rows: string[] = [];
      const worst: string[] = [];
      for (const kind of kinds) {
        const before: number[] = [];
        for (let look = 0; look < 20; look++) {
          before.push(meminfo('MemAvailable'));
          await sleep(100);
        }
        const mean = before.reduce((sum, one) => sum + one, 0) / before.length;
        let [lowest, slab, tcp] = [mean, 0, 0];
        const timer = setInterval(() => {
          lowest = Math.min(lowest, meminfo('MemAvailable'));
          slab = Math.max(slab, meminfo('SUnreclaim'));
          tcp = Math.max(tcp, tcpMemory());
        }, 50);
        const preset = kind === 'networks' || kind === 'session-keyrings' ? ({ preset: 'container' } as const) : {};
        const sandboxes = await openFive({ ...preset, netlink: true, terminal: true, limits: { memory: `${limit}M` } });
        const takers = sandboxes.map((sandbox) => take(sandbox, kind));
        await Promise.all(takers.map(({ taken }) => taken));
        await sleep(300);
        clearInterval(timer);
        await Promise.all(takers.map(({ release }) => release()));
        await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
        const most = 5 * limit * 1.1 + 64;
        rows.push(
          `  ${kind.padEnd(18)}${(mean - lowest).toFixed(0).padStart(6)} MiB less, SUnreclaim ${slab.toFixed(0)}, TCP ${tcp.toFixed(0)}`,
        );
        if (mean - lowest > most) worst.push(kind);
      }
      process.stderr.write(`five sandboxes of ${limit} MiB:\n${rows.join('\n')}\n`);
      expect(worst).toEqual([]);
    },
    600_000,
  );

  testIf(!isSlow, 'a fast machine', 'sockets of network namespaces that are created inside a sandbox are counted as well', async () => {
    const line = 'ip link set lo up; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do (sleep 30 | /take netlink) & done; sleep 20';
    const { reason } = await spawnIsolated('unshare', ['-Urn', 'sh', '-c', line], {
      preset: 'container',
      limits: { memory: '256M', pids: 200 },
      mounts,
      reject: false,
    });
    expect(reason).toBe('oom');
  });

  test('socket memory of a sandbox is counted in full once that of the machine has grown', () => {
    const protocols = 'protocol  size sockets  memory\nTCP   2432   3   1  no\nUNIX  1024  9  -1\nNETLINK   1096      2      -1\nbroken\n';
    expect(socketMemory(protocols, true)).toBe(3 * 24 * 1024 + 2 * 256 * 1024);
    expect(socketMemory('', true)).toBe(0);
    expect(socketMemory('UDP 1088 5 1 NI 0 yes\nTCP 2048 9 1 no 0 yes', false)).toBe(5 * 64 * 1024);
    expect(machineMemory('TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 10\nUDP: inuse 0 mem 5\n', 'SUnreclaim:     100 kB\n')).toBe(
      15 * 4096 + 102_400,
    );
  });

  testIf(!isSlow, 'hardware virtualisation', 'connections that nobody accepts end their sandbox at its memory limit', async () => {
    await using sandbox = await Sandbox.open({ mounts, limits: { memory: '64M' } });
    const taker = take(sandbox, 'backlog');
    expect(await taker.taken).toBeUndefined();
    expect(await taker.running.catch((error) => error)).toMatchObject({ reason: 'oom' });
  });

  test('setsockopt of queue sizes succeeds without effect; options that would hold more memory are refused', async () => {
    const script = `import socket
s = socket.socket(); before = s.getsockopt(1, 8); s.setsockopt(1, 8, 1 << 30); s.setsockopt(1, 7, 1 << 30)
u = socket.socket(2, 2); u.setsockopt(0, 11, 1)
print(s.getsockopt(1, 8) == before, u.getsockopt(0, 11))
for level, name in ((1, 26), (1, 50), (1, 37), (1, 65), (6, 14), (17, 1)):
    try: u.setsockopt(level, name, bytes(16)); print('done')
    except OSError as error: print(error.errno)
s.setsockopt(1, 2, 1); s.setsockopt(6, 1, 1); print('usual')`;
    expect(await output('python3', ['-c', script])).toBe('True 0\n1\n1\n1\n1\n1\n1\nusual');
    const filter = seccompFilter({});
    expect(filter?.explain('setsockopt', [3n, 1n, 8n])).toMatchObject({ action: 'errno' });
    expect(filter?.explain('setsockopt', [3n, 6n, 8n])).toMatchObject({ action: 'allow' });
  });
});

// Kinds of objects that the kernel counts per user and whose lack would break other programs of the user.
const counted = ['inotify', 'mqueue', 'terminals', 'signals', 'epoll', 'pipes', 'locks'] as const;

/** Number of watches that one program takes: 500 epoll instances with 500 files each. */
const watchesOfTaker = 250_000;

/** Python program that needs a little of each kind, as host processes do. Exit status 0 means that it got all. */
const needs = `
import os, sys, ctypes, select, signal
libc = ctypes.CDLL(None, use_errno=True)
def check(name, ok):
    if not ok: sys.exit(name + ': ' + os.strerror(ctypes.get_errno()))
fd = libc.inotify_init1(0); check('inotify_init', fd >= 0)
for directory in ('/', '/usr', '/usr/bin', '/etc', '/tmp'): check('inotify_add_watch', libc.inotify_add_watch(fd, directory.encode(), 2) >= 0)
queue = libc.mq_open(b'/nsjs-test-%d' % os.getpid(), 0o102, 0o600, None); check('mq_open', queue >= 0)
libc.mq_unlink(b'/nsjs-test-%d' % os.getpid())
if os.path.exists('/dev/ptmx'): check('pty', os.openpty()[0] >= 0)
set = select.epoll(); set.register(fd)
for _ in range(20): os.pipe()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN + 1]); check('sigqueue', libc.sigqueue(os.getpid(), signal.SIGRTMIN + 1, None) == 0)
print('well')
`;

describe('resources that the kernel counts per user', () => {
  test('five sandboxes that take all they can leave enough for a sixth one and for the host', async () => {
    // For an unprivileged user there is no limit of epoll watches per sandbox, as the report states. Where five
    // processes could take all watches, they get fewer descriptors.
    const watches = Number(readFileSync('/proc/sys/fs/epoll/max_user_watches', 'latin1'));
    const few = isRoot || watches > 8 * watchesOfTaker ? {} : { openFiles: 256 };
    const sandboxes = await openFive({ terminal: true, limits: { memory: '256M', ...few } });
    const takers = sandboxes.flatMap((sandbox) => counted.map((kind) => ({ kind, taker: take(sandbox, kind) })));
    try {
      const found = await Promise.all(takers.map(async ({ kind, taker }) => [kind, (await taker.taken)?.count ?? 0] as const));
      for (const kind of counted) expect([kind, found.filter(([name, count]) => name === kind && count > 0).length]).toEqual([kind, 5]);
      expect(spawnSync('python3', ['-c', needs], { encoding: 'utf8' })).toMatchObject({ stdout: 'well\n', stderr: '' });
      expect(await output('python3', ['-c', needs], { terminal: true })).toBe('well');
      // An inotify watch by Node, in this process.
      watch('/tmp').close();
    } finally {
      await Promise.all(takers.map(({ taker }) => taker.release()));
      await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
    }
  });

  test('five sandboxes that may nest namespaces leave enough for others as well', async () => {
    const sandboxes = await openFive({ preset: 'container' });
    const takers = sandboxes.map((sandbox) => take(sandbox, 'networks'));
    try {
      for (const { taken } of takers) expect((await taken)?.count ?? 0).toBeLessThanOrEqual(64);
      expect(await output('true')).toBe('');
      const nested = await spawnIsolated('unshare', ['-Urn', 'echo', 'nested'], { preset: 'container' });
      expect(nested.stdout).toBe('nested');
    } finally {
      await Promise.all(takers.map(({ release }) => release()));
      await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
    }
  });

  testIf(isRoot, 'root', 'the user namespace of a sandbox is charged to the host id of the sandbox', async () => {
    await using sandbox = await Sandbox.open();
    expect(sandbox.namespace('user').inspect().ownerUid).toBeGreaterThanOrEqual(1_900_000_000);
  });

  test('a sandbox is limited to a share of inotify watches, message queues and terminals', async () => {
    await using sandbox = await Sandbox.open({ mounts, terminal: true });
    const counts: Record<string, number> = {};
    for (const kind of ['inotify', 'terminals', 'mqueue']) {
      const taker = take(sandbox, kind);
      counts[kind] = (await taker.taken)?.count ?? 0;
      await taker.release();
    }
    expect(counts.terminals).toBeLessThanOrEqual(512);
    expect(counts.mqueue).toBeLessThanOrEqual(isRoot ? 10 : 1);
    expect(counts.mqueue).toBeGreaterThan(0);
    const watches = Number(readFileSync('/proc/sys/user/max_inotify_watches', 'latin1'));
    if (!isRoot) expect(counts.inotify).toBeLessThanOrEqual(Math.ceil(watches / 8));
  });
});
