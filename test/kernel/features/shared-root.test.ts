// Resources that are created before they are needed: roots that sandboxes of root share, and spare network namespaces.
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { Sandbox, type SpawnOptions, spawnIsolated } from 'nsjs';
import { nsUserns } from 'nsjs/sys';
import { releaseKept } from '../../../dist/base/kept';
import { isRoot, sh, sleep, temporaryDirectory, testIf } from '../../support';
import { keepersGone, openDescriptors } from '../../support/processes';

const rootOnly = (name: string, body: () => Promise<void>) => testIf(isRoot, 'root', name, body);
/**
 * Returns the device number of the root's file system and the owner of the root. A shared root belongs to an id that
 * is not mapped (65534).
 */
const look = (options: SpawnOptions = {}): Promise<string> => sh("stat -c '%d %u' /", options);

async function looks(count: number, options: SpawnOptions = {}): Promise<readonly string[]> {
  const found: string[] = [];
  for (let index = 0; index < count; index++) found.push(await look(options));
  return found;
}

const shared = / 65534$/;
const own = / 1000$/;

describe('a shared root', () => {
  beforeEach(() => releaseKept());

  rootOnly('is used from the second sandbox on, by all sandboxes with the same options', async () => {
    const [first, second, third] = await looks(3);
    expect(first).toMatch(own);
    expect(second).toMatch(shared);
    expect(third).toBe(second);
    await using sandbox = await Sandbox.open();
    expect((await sandbox.spawn('stat', ['-c', '%d %u', '/'])).stdout).toBe(second);
    expect(await look({ limits: { memory: '64M' }, capabilities: ['CAP_CHOWN'], env: { A: '1' } })).toBe(second);
    // Another host name needs another root, because /etc/hosts contains the name.
    const [, other = ''] = await looks(2, { hostname: 'other' });
    expect(other).toMatch(shared);
    expect(other).not.toBe(second);
    expect(await sh('cat /etc/hosts', { hostname: 'other' })).toContain(' other');
  });

  rootOnly('looks like an unshared root, except for its owner', async () => {
    const line = 'find / -xdev -printf "%p %y %m %l %s\\n" | sort; cut -d" " -f5,6 /proc/self/mountinfo | sort; cat /etc/passwd /etc/hosts';
    const first = await sh(line);
    expect(await sh(line)).toBe(first);
    expect(await sh(line)).toBe(first);
  });

  rootOnly('cannot be written to, remounted or unmounted by a program', async () => {
    await looks(2);
    const options = {
      capabilities: 'all',
      landlock: 'off',
      seccomp: { allow: ['mount', 'umount2', 'mount_setattr', 'setns'] },
      reject: false,
    } as const;
    const line = `for path in / /etc /usr /dev /home; do touch $path/x && echo "wrote to $path"; done
      for path in /usr /etc/ssl /dev/null / /proc; do umount $path && echo "unmounted $path"; umount -l $path && echo "detached $path"; done
      for path in / /usr /etc/ssl; do mount -o remount,rw,bind $path && echo "made $path writable"; mount -o remount,rw $path && echo "and its file system"; done
      chmod 777 /etc/passwd && echo changed; stat -c '%d %u' /; touch /etc/x && echo late`;
    const { stdout } = await spawnIsolated('/bin/sh', ['-c', line], options);
    expect(stdout).toBe(await look(options));
    expect(stdout).toMatch(shared);
    expect(await sh('cat /etc/passwd')).toContain('sandbox');
  });

  rootOnly('is not used if the root has private data of the caller or a directory that its program could not enter', async () => {
    const secret = { mounts: [{ type: 'file', target: '/secret', data: 'x', mode: 0o600 }] } as const;
    expect((await looks(3, secret))[2]).toMatch(own);
    expect(await sh('cat /secret', secret)).toBe('x');
    expect(await sh('cat /secret', { mounts: [{ ...secret.mounts[0], data: 'y' }] })).toBe('y');
    const closed = { mounts: [{ type: 'dir', target: '/closed', mode: 0o700 }] } as const;
    expect((await looks(3, closed))[2]).toMatch(own);
    expect(await sh('ls /closed', closed)).toBe('');
  });

  rootOnly('is completed by the mounts that only one sandbox has', async () => {
    const directory = temporaryDirectory();
    const options = {
      mounts: [
        { type: 'bind', source: directory.path, target: '/job/here', readonly: false },
        { type: 'tmpfs', target: '/job/there' },
        { type: 'file', target: '/job/there/file', data: 'x' },
      ],
    } as const;
    const [, second, third] = await looks(3, options);
    expect(second).toMatch(shared);
    expect(third).toBe(second);
    const line = 'echo 1 > /job/here/a && cat /job/here/a /job/there/file && ls -A /job && touch /job/b';
    const { stdout, exitCode } = await spawnIsolated('/bin/sh', ['-c', line], { ...options, reject: false });
    expect({ stdout, exitCode }).toEqual({ stdout: '1\nxhere\nthere', exitCode: 1 });
    directory.remove();
  });

  // The script runs in a separate mount namespace, in which it changes mounts and files.
  rootOnly('follows changes of mounts and files on the host', async () => {
    const directory = temporaryDirectory();
    const script = `const { spawnIsolated } = require(${JSON.stringify(require.resolve('nsjs'))});
      const { unshare } = require(${JSON.stringify(require.resolve('nsjs/sys'))});
      const { execFileSync } = require('node:child_process');
      const { renameSync, writeFileSync, mkdirSync } = require('node:fs');
      const run = (...line) => execFileSync(line[0], line.slice(1));
      const look = async () => (await spawnIsolated('/bin/sh', ['-c', 'cat /etc/ld.so.conf; ls /usr/local'])).stdout.replaceAll('\\n', ' ');
      const sleep = () => new Promise((resolve) => setTimeout(resolve, 1100));
      const tell = async (what) => console.log(what, await look(), '|', await look(), '|', await look());
      (async () => {
        run('mount', '-t', 'tmpfs', 'tmpfs', process.argv[1]);
        mkdirSync(process.argv[1] + '/etc');
        run('cp', '-a', '/etc/.', process.argv[1] + '/etc');
        run('mount', '--bind', process.argv[1] + '/etc', '/etc');
        writeFileSync('/etc/ld.so.conf', 'first');
        await tell('first');
        writeFileSync('/etc/new', 'second');
        renameSync('/etc/new', '/etc/ld.so.conf');
        await tell('second');
        await sleep();
        await tell('again');
        run('mount', '-t', 'tmpfs', 'tmpfs', '/usr/local');
        mkdirSync('/usr/local/here');
        await tell('mounted');
        run('umount', '/usr/local');
        await tell('unmounted');
        await sleep();
        await tell('again');
        unshare(0x20000);
        run('mount', '--make-rprivate', '/');
        await sleep();
        await tell('elsewhere');
        run('mount', '-t', 'tmpfs', 'tmpfs', '/usr/local');
        mkdirSync('/usr/local/there');
        await tell('mounted');
      })();`;
    const local = (await sh('ls /usr/local')).replaceAll('\n', ' ');
    const text = execFileSync('unshare', ['-m', '--propagation', 'private', process.execPath, '-e', script, directory.path], {
      encoding: 'utf8',
    });
    directory.remove();
    const thrice = (what: string, found: string) => `${what} ${Array(3).fill(found).join(' | ')}`;
    expect(text.trimEnd().split('\n')).toEqual([
      thrice('first', `first${local}`),
      thrice('second', `second${local}`),
      thrice('again', `second${local}`),
      thrice('mounted', 'secondhere'),
      thrice('unmounted', `second${local}`),
      thrice('again', `second${local}`),
      thrice('elsewhere', `second${local}`),
      thrice('mounted', 'secondthere'),
    ]);
  });

  rootOnly('is not covered by mounts of other directories', async () => {
    const options = {
      mounts: [
        { type: 'dev', target: '/tmp/dev' },
        { type: 'dir', target: '/shm' },
      ],
    } as const;
    const line = "ls -d /shm; touch /dev/shm/x /tmp/dev/shm/x; stat -c '%a %u' /dev/shm /";
    for (const owner of [1000, 65534, 65534]) expect(await sh(line, options)).toBe(`/shm\n1777 1000\n755 ${owner}`);
  });

  rootOnly('is not used if the program is root inside or has rights over its mounts', async () => {
    for (const options of [{ user: { ids: 'range' } }, { user: { inner: false } }, { nestedUserNamespaces: true }] as const)
      expect((await looks(3, options)).filter((text) => shared.test(text))).toEqual([]);
  });

  rootOnly('refuses writes and reads with the same errors as an unshared root', async () => {
    const line = 'for path in /etc/passwd /etc/new /usr/new; do (: > $path) 2>&1; mkdir $path 2>&1; chmod 700 $path 2>&1; done; true';
    const first = await sh(line);
    expect(first).toContain('Read-only file system');
    expect(await sh(line)).toBe(first);
    const odd = {
      mounts: [
        { type: 'dir', target: '/odd', mode: 0o055 },
        { type: 'file', target: '/file', data: '', mode: 0o044 },
      ],
    } as const;
    const refused = 'ls /odd 2>&1; cat /file 2>&1; true';
    const refusal = await sh(refused, odd);
    expect(refusal).toMatch(/Permission denied(.|\n)*Permission denied/);
    expect(await sh(refused, odd)).toBe(refusal);
  });

  // Runs in a separate process, because this one also has descriptors of other tests.
  rootOnly('is released after some time without use, as is a spare network namespace', async () => {
    const script = `const { spawnIsolated } = require(${JSON.stringify(require.resolve('nsjs'))});
      const { readdirSync, readlinkSync } = require('node:fs');
      const link = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } };
      const held = (type) => readdirSync('/proc/self/fd').filter((fd) => link(fd).startsWith(type)).length;
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const run = async (count, hostname) => { while (count-- > 0) await spawnIsolated('true', [], { hostname }); };
      const tell = () => console.log(held('mnt:'), held('net:'), held('/proc'));
      (async () => {
        await run(1, 'one');
        tell();
        await run(2, 'one');
        await run(3, 'two');
        await sleep(100);
        tell();
        for (let waited = 0; waited < 11; waited++) {
          await run(1, 'two');
          await sleep(1000);
        }
        tell();
        await sleep(10_500);
        tell();
        for (let index = 0; index < 7; index++) await run(2, 'host-' + index);
        tell();
      })();`;
    const text = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    const [first, ...rest] = text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    const more = rest.map((line) => line.map((count, index) => count - (first?.[index] ?? 0)));
    // Descriptors of mount namespaces, of network namespaces, and of the file that lists the host's mounts.
    expect(more.slice(0, 3)).toEqual([
      [2, 1, 1],
      [1, 1, 1],
      [0, 0, 0],
    ]);
    expect(more[3]?.[0]).toBe(4);
  });
});

describe('a network namespace that was created in advance', () => {
  test('belongs to one sandbox only and has a working loopback interface', async () => {
    const line = `perl -MSocket -e 'socket my $s, AF_INET, SOCK_STREAM, 0; bind $s, sockaddr_in(8080, INADDR_LOOPBACK) or die "bind: $!";
      listen $s, 1; socket my $c, AF_INET, SOCK_STREAM, 0; connect $c, sockaddr_in(8080, INADDR_LOOPBACK) or die "connect: $!"; print "ok\\n"';
      readlink /proc/self/ns/net; sleep 1`;
    const found: string[] = [];
    for (let round = 0; round < 4; round++) {
      const program = spawnIsolated('/bin/sh', ['-c', line]);
      await program.spawned;
      // Time to create a namespace for the next sandbox.
      await sleep(10);
      found.push(
        ...(await Promise.all([program, sh(line), sh(line)])).map((result) => (typeof result === 'string' ? result : result.stdout)),
      );
      const last = found.slice(-3).map((text) => text.split('\n'));
      expect(last.map(([first]) => first)).toEqual(['ok', 'ok', 'ok']);
      expect(new Set(last.map(([, net]) => net)).size).toBe(3);
    }
  });

  rootOnly('is used only if no program inside has rights over it', async () => {
    const ownerOf = async (options: SpawnOptions) => {
      const program = spawnIsolated('sleep', ['100'], { ...options, reject: false });
      await program.spawned;
      const net = openSync(`/proc/${program.pid}/ns/net`, 'r');
      const user = nsUserns(net);
      const { ino } = fstatSync(user);
      for (const fd of [net, user]) closeSync(fd);
      program.kill('SIGKILL');
      await program;
      await sleep(20);
      return ino === statSync('/proc/self/ns/user').ino ? 'host' : 'sandbox';
    };
    const owners = async (options: SpawnOptions) => [await ownerOf(options), await ownerOf(options), await ownerOf(options)].join(' ');
    expect(await owners({})).toMatch(/host host$/);
    for (const options of [
      { capabilities: ['CAP_NET_ADMIN'] },
      { proc: 'full' },
      { user: { ids: 'range' } },
      { user: { inner: false } },
    ] as const)
      expect(await owners(options)).toBe('sandbox sandbox sandbox');
  });
});

rootOnly('a change of ids in this process does not wait for the thread that creates network namespaces', async () => {
  const script = `const { spawnIsolated } = require(${JSON.stringify(require.resolve('nsjs'))});
    (async () => {
      for (let round = 0; round < 20; round++) {
        const program = spawnIsolated('true');
        await program.spawned;
        process.setgroups([]);
        await program;
      }
      console.log('done');
    })();`;
  expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 20_000 })).toBe('done\n');
});

rootOnly('kept resources are released for a sandbox that lacks descriptors', async () => {
  // Starting a sandbox needs eleven descriptors for a short time.
  const script = `const { spawnIsolated } = require(${JSON.stringify(require.resolve('nsjs'))});
    const { openSync, closeSync } = require('node:fs');
    (async () => {
      await spawnIsolated('true');
      const fds = [];
      try { for (;;) fds.push(openSync('/dev/null')); } catch {}
      for (const fd of fds.splice(0, 12)) closeSync(fd);
      for (let round = 0; round < 5; round++) {
        await spawnIsolated('true');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      console.log('done');
    })();`;
  expect(execFileSync('/bin/sh', ['-c', 'ulimit -n 400; exec "$0" -e "$1"', process.execPath, script], { encoding: 'utf8' })).toBe(
    'done\n',
  );
});

rootOnly('worker threads have their own resources and leave no descriptors', async () => {
  const code = `const { parentPort } = require('node:worker_threads');
    const { spawnIsolated } = require(${JSON.stringify(require.resolve('nsjs'))});
    (async () => { for (let index = 0; index < 4; index++) await spawnIsolated('true'); parentPort.postMessage('done'); })();
    setInterval(() => {}, 1000);`;
  const round = async () => {
    const worker = new Worker(code, { eval: true });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
  };
  await round();
  await keepersGone();
  const before = openDescriptors();
  for (let index = 0; index < 5; index++) await round();
  await keepersGone();
  expect(openDescriptors()).toBeLessThanOrEqual(before);
});
