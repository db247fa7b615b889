// Paths that change while nsjs resolves them: another process calls renameat2(RENAME_EXCHANGE) during 500 rounds.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Sandbox, type SandboxOptions, spawnIsolated } from 'nsjs';
import { callNumber, isRoot, sh, temporaryDirectory } from '../../support';

const rounds = 500;
let directory: ReturnType<typeof temporaryDirectory>;
let racer: ChildProcess | undefined;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
});
afterEach(() => {
  racer?.kill('SIGKILL');
  racer = undefined;
  directory.remove();
});

/** Exchanges two names on the host in an endless loop. */
async function race(one: string, other: string): Promise<void> {
  const program = `my ($a, $b) = ("${one}\\0", "${other}\\0"); $| = 1; print "ready\\n"; while (1) { syscall(${callNumber('renameat2')}, -100, $a, -100, $b, 2) }`;
  racer = spawn('perl', ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => racer?.stdout?.once('data', resolve));
}

/** Creates a shared directory in which `d` is alternately a directory and a link to the victim. */
async function raced(): Promise<{ readonly work: string; readonly victim: string }> {
  const [work, victim] = [join(directory.path, 'work'), join(directory.path, 'victim')];
  for (const path of [work, victim, join(work, 'd')]) mkdirSync(path);
  if (!isRoot) chmodSync(victim, 0o755);
  writeFileSync(join(victim, 'f'), 'victim');
  writeFileSync(join(work, 'd', 'f'), 'own');
  symlinkSync(victim, join(work, 'l'));
  await race(join(work, 'd'), join(work, 'l'));
  return { work, victim };
}

const refused = ['ELOOP', 'EAGAIN', 'ENOENT', 'ENOTDIR', 'EEXIST', 'EBUSY', 'EXDEV', 'EROFS', 'EISDIR'];

async function manyTimes(options: () => SandboxOptions, command: string): Promise<{ readonly ran: number; readonly refused: number }> {
  const seen = { ran: 0, refused: 0 };
  for (let round = 0; round < rounds; round++) {
    try {
      await spawnIsolated('/bin/sh', ['-c', command], options());
      seen.ran++;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ERR_NSJS_EXIT') expect(refused).toContain(code);
      seen.refused++;
    }
  }
  return seen;
}

const shared = (work: string) => ({ type: 'bind', source: work, target: '/job', readonly: false }) as const;

test.each<[string, (target: string) => NonNullable<SandboxOptions['mounts']>[number]]>([
  ['tmpfs', (target) => ({ type: 'tmpfs', target, size: 4096, inodes: 10 })],
  ['bind', (target) => ({ type: 'bind', source: '/usr', target })],
  ['mask', (target) => ({ type: 'mask', target })],
  ['readonly', (target) => ({ type: 'readonly', target })],
  ['dir', (target) => ({ type: 'dir', target: `${target}/made` })],
  ['file', (target) => ({ type: 'file', target: `${target}/f`, data: 'x' })],
])(
  'a target of type %s in a directory that others change is mounted there or nowhere',
  async (_, make) => {
    const { work, victim } = await raced();
    // Inside, the link would lead to the sandbox's own root.
    const seen = await manyTimes(() => ({ mounts: [shared(work), make('/job/d')] }), 'test "$(grep -c " /usr " /proc/self/mountinfo)" = 1');
    expect(seen.ran + seen.refused).toBe(rounds);
    expect(readdirSync(victim)).toEqual(['f']);
    expect(readFileSync(join(victim, 'f'), 'utf8')).toBe('victim');
  },
  120_000,
);

test('a working directory that changes is inside, or an error', async () => {
  const { work } = await raced();
  const seen = await manyTimes(
    () => ({ mounts: [shared(work)], cwd: '/job/d' }),
    'case $(/bin/pwd) in /job/d|/job/l) exit 0;; *) exit 1;; esac',
  );
  expect(seen.ran + seen.refused).toBe(rounds);
}, 120_000);

test('sandbox.fs writes, creates, removes and copies at the given path or nowhere', async () => {
  const { work, victim } = await raced();
  const sandbox = await Sandbox.open({ mounts: [shared(work), { type: 'bind', source: victim, target: victim, readonly: false }] });
  const { fs } = sandbox;
  const acts: readonly (() => Promise<unknown>)[] = [
    () => fs.writeFile('/job/d/f', 'written'),
    () => fs.mkdir('/job/d/new', { recursive: true }),
    () => fs.rm('/job/d/f', { force: true }),
    () => fs.rm('/job/d/new', { recursive: true, force: true }),
    () => fs.readdir('/job/d'),
    () => fs.copyIn('/etc/hostname', '/job/d/hostname'),
    () => fs.rm('/job/d/hostname', { force: true }),
  ];
  for (let round = 0; round < rounds; round++) {
    for (const act of acts)
      await act().catch((error: NodeJS.ErrnoException) => {
        if (!refused.includes(error.code ?? '')) throw error;
      });
  }
  await sandbox.close();
  expect(readdirSync(victim)).toEqual(['f']);
  expect(readFileSync(join(victim, 'f'), 'utf8')).toBe('victim');
}, 120_000);

test('copyOut copies files from inside and never follows a link', async () => {
  const { work, victim } = await raced();
  const sandbox = await Sandbox.open({ mounts: [shared(work), { type: 'bind', source: victim, target: victim }] });
  for (let round = 0; round < rounds; round++) {
    const target = join(directory.path, `out-${round}`);
    await sandbox.fs.copyOut('/job/d', target).catch((error: NodeJS.ErrnoException) => expect(refused).toContain(error.code));
    if (existsSync(target))
      expect([lstatSync(target).isDirectory(), existsSync(join(target, 'f')) ? readFileSync(join(target, 'f'), 'utf8') : 'own']).toEqual([
        true,
        'own',
      ]);
  }
  await sandbox.close();
}, 120_000);

test('B10: a source that is swapped is one directory or the other, and read-only either way', async () => {
  const [one, other] = [join(directory.path, 'one'), join(directory.path, 'other')];
  for (const path of [one, other]) {
    mkdirSync(path);
    writeFileSync(join(path, 'f'), 'text', { mode: 0o666 });
  }
  await race(one, other);
  const seen = await manyTimes(
    () => ({ mounts: [{ type: 'bind', source: one, target: '/data' }] }),
    'cat /data/f > /dev/null && ! echo x 2>/dev/null > /data/f',
  );
  expect(seen).toEqual({ ran: rounds, refused: 0 });
}, 120_000);

test('B15: sockets below a bind mount are closed by a rule or by a mask', async () => {
  const path = join(directory.path, 'socket');
  const server = createServer((socket) => socket.end('reached')).listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  chmodSync(path, 0o777);
  const bind = { type: 'bind', source: directory.path, target: '/data' } as const;
  const connect =
    'perl -MIO::Socket::UNIX -e \'my $s = IO::Socket::UNIX->new("/data/socket") or do { print "refused"; exit }; print <$s>\'';
  try {
    expect(await sh(connect, { mounts: [bind] })).toBe('reached');
    expect(await sh(connect, { mounts: [bind], seccomp: { deny: [{ names: 'socket', when: [{ index: 0, op: 'eq', value: 1 }] }] } })).toBe(
      'refused',
    );
    expect(await sh(connect, { mounts: [bind, { type: 'mask', target: '/data/socket' }] })).toBe('refused');
  } finally {
    server.close();
  }
});
