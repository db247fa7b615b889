import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NsError, probe, type SandboxOptions, spawnIsolated } from 'nsjs';
import { landlockAbi } from 'nsjs/sys';
import { landlockDropped, landlockFor } from '../../../dist/features/landlock';
import { host } from '../../../dist/host/host';
import { parseSandboxOptions } from '../../../dist/options/spec';
import { hasCgroups, isRoot, output, rejection, temporaryDirectory, testIf, thrown, trySh } from '../../support';

const abi = (() => {
  try {
    return landlockAbi();
  } catch {
    return 0;
  }
})();
const test1 = (name: string, body: () => Promise<unknown>) => testIf(abi >= 1, 'landlock', name, body);

test1('Landlock backs up the mounts by default, and ordinary file operations still work', async () => {
  const { stdout, report } = await spawnIsolated('/bin/sh', [
    '-c',
    'cd && echo 1 > a && mkdir d && mv a d/b && cat d/b && echo 2 > /tmp/c && cat /tmp/c && echo 3 > /dev/shm/x && cat /dev/shm/x && echo 4 > /dev/stdout && echo > /dev/null && echo 5 > /proc/self/comm && echo ok',
  ]);
  expect(stdout).toBe('1\n2\n3\n4\nok');
  expect(report.landlock).toMatchObject({ abi, paths: { '/': ['EXECUTE', 'READ_FILE', 'READ_DIR'] } });
});

test1('rights can be set by path', async () => {
  const landlock = { execute: ['/'], write: ['/tmp'], paths: { '/home/sandbox': ['READ_DIR', 'MAKE_DIR'] }, read: ['/dev'] } as const;
  const { stdout, stderr } = await trySh('ls -a / > /tmp/x; mkdir d; echo > f; echo > /dev/shm/x; rmdir d; ls', { landlock });
  expect(stdout).toBe('d');
  expect(stderr.match(/Permission denied/g)).toHaveLength(3);
});

test1('only files with the right to execute can be executed', async () => {
  const result = await trySh('cp /bin/true /tmp/t && chmod +x /tmp/t && /tmp/t; echo $?', {
    landlock: {
      execute: ['/usr', '/bin', '/lib', '/lib64'].filter((path) => existsSync(path)),
      paths: { '/tmp': ['WRITE_FILE', 'READ_FILE', 'MAKE_REG', 'TRUNCATE'] },
    },
  });
  expect(result.stdout).toBe('126');
});

testIf(abi >= 4, 'landlock ABI 4', 'only the listed TCP ports can be bound and connected to', async () => {
  const script = `const net = require('net');
    const listen = (port) => new Promise((done) => { const s = net.createServer().on('error', (e) => done(e.code)).listen(port, '127.0.0.1', () => done(s)); });
    const connect = (port) => new Promise((done) => { const s = net.connect(port, '127.0.0.1').on('error', (e) => done(e.code)).on('connect', () => { s.destroy(); done('connected'); }); });
    (async () => {
      const server = await listen(4000);
      console.log(typeof server, await listen(4001), await connect(4000), await connect(4002));
      process.exit();
    })();`;
  const landlock = { execute: ['/'], write: ['/dev', '/proc', '/tmp'], bindTcp: [4000], connectTcp: [4000] };
  expect(await output(process.execPath, ['-e', script], { preset: 'node', landlock })).toBe('object EACCES connected EACCES');
});

testIf(abi >= 6, 'landlock ABI 6', 'scopes: abstract sockets of other processes on the host’s network cannot be reached', async () => {
  const name = `\0nsjs-test-${process.pid}`;
  const server = createServer((socket) => socket.end('leak')).listen({ path: name });
  const script = `const s = require('net').connect('\\0' + ${JSON.stringify(name.slice(1))}).on('error', (e) => console.log(e.code)).on('data', (d) => console.log(String(d)));`;
  const run = (landlock: NonNullable<SandboxOptions['landlock']>) =>
    output(process.execPath, ['-e', script], { preset: 'node', network: 'host', landlock });
  try {
    expect(await run('off')).toBe('leak');
    expect(await run('require')).toBe('EPERM');
  } finally {
    server.close();
  }
});

test1('a passed file can be reopened only with its access mode', async () => {
  const directory = temporaryDirectory();
  const path = join(directory.path, 'out');
  writeFileSync(path, 'before');
  chmodSync(path, 0o666);
  const [out, read] = [openSync(path, 'w'), openSync('/etc/passwd', 'r')];
  try {
    await spawnIsolated('/bin/sh', ['-c', 'echo again > /dev/stdout'], { stdio: ['ignore', out, 'pipe'], cwd: '/' });
    expect(readFileSync(path, 'utf8')).toBe('again\n');
    const { stdout } = await trySh('head -c 4 /proc/self/fd/0; echo > /proc/self/fd/0 || echo refused', { stdio: [read, 'pipe', 'pipe'] });
    expect(stdout).toMatch(/^root.*refused$/s);
  } finally {
    for (const fd of [out, read]) closeSync(fd);
    directory.remove();
  }
});

describe('features that the kernel lacks', () => {
  const old = (landlockAbi: number) => ({ ...host(), landlockAbi });
  const spec = (landlock: NonNullable<SandboxOptions['landlock']>, more: SandboxOptions = {}) => parseSandboxOptions({ landlock, ...more });

  test('a required feature causes an error', () => {
    for (const [version, policy, control] of [
      [0, 'require', 'landlock'],
      [3, { connectTcp: [1] }, 'landlock.tcp'],
      [5, { scopes: ['signal'] }, 'landlock.scopes'],
    ] as const) {
      const error = thrown(() => landlockDropped(spec(policy), old(version), { kind: 'run' }));
      expect(error).toBeInstanceOf(NsError);
      expect(error.message).toContain(`${control}: `);
    }
  });

  test('a preferred feature is dropped and reported', () => {
    expect(landlockDropped(spec('prefer'), old(0), { kind: 'run' }).map(({ control }) => control)).toEqual(['landlock', 'landlock.scopes']);
    expect(landlockDropped(spec({ level: 'prefer', bindTcp: [1] }), old(3), { kind: 'run' }).map(({ control }) => control)).toEqual([
      'landlock.tcp',
    ]);
    expect(landlockDropped(spec('prefer'), old(7), { kind: 'run' })).toEqual([]);
  });

  test('rights are reduced to those of each ABI version, and newer rights can be given as numbers', () => {
    const fs = (version: number) => landlockFor(spec('prefer'), { host: old(version), kind: 'run' })?.fs;
    expect([1, 2, 3, 5, 9].map(fs)).toEqual([2 ** 13 - 1, 2 ** 14 - 1, 2 ** 15 - 1, 2 ** 16 - 1, 2 ** 16 - 1]);
    expect(landlockFor(spec({ paths: { '/': [1 << 16] } }), { host: old(9), kind: 'run' })?.fs).toBe(2 ** 17 - 1);
  });

  test('Landlock is required without a mount namespace', () => {
    expect(thrown(() => landlockDropped(parseSandboxOptions({ preset: 'landlock' }), old(0), { kind: 'run' })).message).toMatch(
      /^landlock: /,
    );
  });

  test1('a right that no kernel supports causes an error of the kernel', async () => {
    const error = await rejection(spawnIsolated('true', [], { landlock: { paths: { '/': [1 << 30] } } }));
    expect(error).toMatchObject({ code: 'EINVAL', syscall: 'landlock_create_ruleset', origin: 'landlock' });
  });
});

test.each<[string, unknown, string]>([
  ['a word', 'maybe', 'landlock: expected one of'],
  ['a right', { paths: { '/': ['READ'] } }, 'landlock.paths["/"][0]: expected one of \'EXECUTE\''],
  ['a path', { read: ['tmp'] }, 'landlock.read[0]: expected an absolute path'],
  ['a port', { bindTcp: [70_000] }, 'landlock.bindTcp[0]: expected a whole number'],
  ['a scope', { scopes: ['net'] }, 'landlock.scopes[0]: expected one of'],
])('an invalid value is refused: %s', (_, landlock, message) => {
  expect(thrown(() => parseSandboxOptions({ landlock } as SandboxOptions)).message).toContain(message);
});

test1('an error about a missing path names the path', async () => {
  const error = await rejection(spawnIsolated('true', [], { landlock: { read: ['/nowhere'], execute: ['/'] } }));
  expect(error).toMatchObject({ code: 'ENOENT', origin: 'landlock.read[0]', path: '/nowhere' });
});

describe('preset landlock', () => {
  const preset = 'landlock' as const;

  test1('files, processes and sockets of the host cannot be reached even without namespaces', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'secret'), 'secret', { mode: 0o644 });
    const { stdout, stderr, report } = await trySh(
      `cat ${directory.path}/secret; ls ${tmpdir()}; cat /etc/passwd; kill -0 ${process.pid} && echo signaled; cat /proc/${process.pid}/environ; echo > ${directory.path}/new; perl -e 'for my $f (1, 2, 10, 16, 17, 38, 40) { print socket(my $s, $f, 1, 0) ? "socket $f\\n" : "" }'; echo end`,
      { preset },
    );
    directory.remove();
    expect(stdout).toBe('end');
    expect(stderr.match(/denied|not permitted/g)?.length).toBeGreaterThanOrEqual(6);
    expect(report.shared).toContain('mnt');
  });

  test1('a directory that is listed in landlock.write is writable', async () => {
    const work = mkdtempSync(join(isRoot ? '/var/tmp' : tmpdir(), 'nsjs-landlock-'));
    try {
      if (isRoot) chmodSync(work, 0o777);
      const { stdout } = await trySh(`cd ${work} && echo hi > f && cat f`, {
        preset,
        landlock: { level: 'prefer', execute: ['system'], write: [work] },
      });
      expect(stdout).toBe('hi');
    } finally {
      rmSync(work, { recursive: true });
    }
  });

  test1('Node runs under this preset', async () => {
    expect(await output(process.execPath, ['-p', '6*7'], { preset, limits: { memory: '1G' } })).toBe('42');
  });

  test1('no process is left at the end of the run', async () => {
    const { stdout } = await trySh('sleep 98764 & echo $!', { preset });
    expect(() => process.kill(Number(stdout), 0)).toThrow('ESRCH');
  });

  testIf(!isRoot, 'an unprivileged user', 'the report lists the controls that this preset cannot apply', async () => {
    const { report } = await spawnIsolated('true', [], { preset });
    expect(report.dropped.map(({ control }) => control)).toEqual(
      expect.arrayContaining(hasCgroups ? ['capabilities'] : ['capabilities', 'limits.pids']),
    );
  });

  test('another seccomp filter is refused, because it does not block the network', () => {
    expect(thrown(() => spawnIsolated('true', [], { preset, seccomp: 'default' })).message).toMatch(/^network: /);
  });
});

test('probe reports whether Landlock is available', async () => {
  expect((await probe()).features.landlock?.available).toBe(abi > 0);
});
