import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Mount, Sandbox, SandboxPool, type SpawnOptions, spawnIsolated } from 'nsjs';
import { isRoot, rejection, sh, temporaryDirectory, testIf, trySh } from '../../support';

let directory: ReturnType<typeof temporaryDirectory>;

let work: string;

beforeEach(() => {
  directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
  work = join(directory.path, 'work');
  mkdirSync(join(work, '.git/hooks'), { recursive: true });
  mkdirSync(join(work, 'a/b/c'), { recursive: true });
  writeFileSync(join(work, 'a/b/c/secret'), 'secret');
  writeFileSync(join(work, 'a/b/file'), 'original');
});

afterEach(() => directory.remove());

const writable = (): Mount => ({ type: 'bind', source: work, target: '/w', readonly: false });

describe('protected paths below a writable directory', () => {
  const attack = `cd /w
    mv .git .old; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit
    mv .git/hooks .git/h2; rm -rf .git; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit
    mv a z; mv a/b a/z; mv a/b/c a/b/z; rm -rf a; mkdir -p a/b/c; echo x > a/b/c/new; cat a/b/c/secret; echo x > a/b/file; ln -f a/b/file a/b/c/other`;

  const holds = () => {
    expect(existsSync(join(work, '.git/hooks/pre-commit'))).toBe(false);
    expect(existsSync(join(work, '.old'))).toBe(false);
    expect(existsSync(join(work, 'a/b/c/new'))).toBe(false);
    expect(readFileSync(join(work, 'a/b/c/secret'), 'utf8')).toBe('secret');
    expect(readFileSync(join(work, 'a/b/file'), 'utf8')).toBe('original');
  };

  test.each<[string, () => readonly Mount[]]>([
    [
      'readonly, mask',
      () => [
        writable(),
        { type: 'readonly', target: '/w/.git/hooks' },
        { type: 'mask', target: '/w/a/b/c' },
        { type: 'readonly', target: '/w/a/b/file' },
      ],
    ],
    [
      'read-only binds',
      () => [
        writable(),
        { type: 'bind', source: join(work, '.git/hooks'), target: '/w/.git/hooks' },
        { type: 'bind', source: join(work, 'a/b/c'), target: '/w/a/b/c' },
        { type: 'bind', source: join(work, 'a/b/file'), target: '/w/a/b/file' },
      ],
    ],
    [
      'one writable directory in another one',
      () => [
        writable(),
        { type: 'bind', source: join(work, 'a'), target: '/w/a', readonly: false },
        { type: 'readonly', target: '/w/a/b/c' },
        { type: 'readonly', target: '/w/a/b/file' },
        { type: 'readonly', target: '/w/.git/hooks' },
      ],
    ],
    [
      'a directory that is covered by another one later',
      () => [
        { type: 'tmpfs', target: '/w' },
        { type: 'dir', target: '/w/.git/hooks' },
        { type: 'readonly', target: '/w/.git/hooks' },
        writable(),
        { type: 'readonly', target: '/w/.git/hooks' },
        { type: 'mask', target: '/w/a/b/c' },
        { type: 'readonly', target: '/w/a/b/file' },
      ],
    ],
    [
      'what is kept apart',
      () => [
        writable(),
        { type: 'tmpfs', target: '/w/.git/hooks' },
        { type: 'overlay', target: '/w/a/b/c', lower: join(work, 'a/b/c') },
        { type: 'readonly', target: '/w/a/b/file' },
      ],
    ],
  ])('cannot be moved or replaced: %s', async (_, mounts) => {
    const { stdout } = await trySh(`${attack}; touch /w/fine /w/a/fine /w/.git/fine && echo went on`, { mounts: mounts() });
    expect(stdout).toContain('went on');
    holds();
    for (const name of ['fine', 'a/fine', '.git/fine']) expect(existsSync(join(work, name))).toBe(true);
  });

  test('cannot be renamed: the error is EBUSY, or EXDEV across the mount', async () => {
    const line = `perl -e 'use POSIX; for (["a", "z"], ["a/b", "a/z"], ["a/b", "z"], ["a/b/file", "moved"]) { print rename("/w/$_->[0]", "/w/$_->[1]") ? "renamed" : 0+$!, "\\n" }'`;
    const mounts: Mount[] = [writable(), { type: 'readonly', target: '/w/a/b/c' }];
    expect(await sh(line, { mounts })).toBe('16\n16\n18\n18');
  });

  test('cannot be moved in a long-lived sandbox and in an overlay either', async () => {
    const mounts: Mount[] = [writable(), { type: 'readonly', target: '/w/.git/hooks' }, { type: 'readonly', target: '/w/a/b' }];
    await using sandbox = await Sandbox.open({ mounts });
    await sandbox.spawn('/bin/sh', ['-c', attack], { reject: false });
    holds();
    const overlay: Mount[] = [
      { type: 'overlay', lower: work, target: '/w' },
      { type: 'readonly', target: '/w/.git/hooks' },
    ];
    expect(await sh('cd /w; mv .git .old || mkdir -p x; echo x > .git/hooks/y || echo refused', { mounts: overlay })).toBe('refused');
  });

  test('must exist and must not contain a symbolic link, which is named in the error', async () => {
    symlinkSync('a', join(work, 'link'));
    symlinkSync('hooks', join(work, '.git/last'));
    const attempt = (target: string, type: 'readonly' | 'mask' = 'readonly') =>
      rejection(spawnIsolated('true', [], { mounts: [writable(), { type, target }] }));
    expect(await attempt('/w/link/b/c')).toMatchObject({ code: 'ELOOP', path: '/w/link', origin: 'mounts[1]' });
    expect(await attempt('/w/link/b/c', 'mask')).toMatchObject({ code: 'ELOOP', path: '/w/link' });
    expect(await attempt('/w/.git/last')).toMatchObject({ code: 'ELOOP', path: '/w/.git/last' });
    expect(await attempt('/w/none/hooks')).toMatchObject({ code: 'ENOENT', path: '/w/none' });
    expect(await attempt('/w/.git/none', 'mask')).toMatchObject({ code: 'ENOENT', path: '/w/.git/none' });
  });

  test('cannot be renamed by another sandbox of this process while the first one runs', async () => {
    const first = await Sandbox.open({ mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    const line = 'cd /w; mv .git .old && echo moved; mv .git/hooks .git/h2 && echo moved; touch .git/ok && echo written';
    expect((await trySh(line, { mounts: [writable()] })).stdout).toBe('written');
    expect(
      (
        await trySh('mv /x/hooks /x/h2 && echo moved', {
          mounts: [{ type: 'bind', source: join(work, '.git'), target: '/x', readonly: false }],
        })
      ).stdout,
    ).toBe('');
    await first.close();
    expect((await trySh(line, { mounts: [writable()] })).stdout).toBe('moved');
  });

  test("cannot be renamed by an earlier sandbox, an earlier pool or a program in the host's root either", async () => {
    const line = 'cd "$0"; mv .git .old && echo moved; mv .git/hooks .git/h2 && echo moved; touch .git/ok && echo written';
    await using earlier = await Sandbox.open({ mounts: [writable()] });
    await using pool = await SandboxPool.open({ mounts: [writable()] });
    await using _ = await Sandbox.open({ mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    expect((await earlier.spawn('/bin/sh', ['-c', line, '/w'], { reject: false })).stdout).toBe('written');
    expect((await pool.spawn('/bin/sh', ['-c', line, '/w'], { reject: false })).stdout).toBe('written');
    const options = { root: 'host', cwd: '/', reject: false } as const;
    expect((await spawnIsolated('/bin/sh', ['-c', line, work], options)).stdout).not.toMatch(/moved/);
  });

  testIf(isRoot, 'root', 'cannot be moved if they are mounted into a running sandbox', async () => {
    await using sandbox = await Sandbox.open({ mounts: [writable()] });
    await using other = await Sandbox.open({ mounts: [writable()] });
    const inside = async (line: string, one = sandbox) => (await one.spawn('/bin/sh', ['-c', `cd /w; ${line}`], { reject: false })).stdout;
    await sandbox.mount({ type: 'bind', source: join(work, '.git/hooks'), target: '/w/.git/hooks' });
    const attack = 'mv .git .old && echo moved; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit && echo written';
    expect(await inside(attack)).toBe('');
    expect(await inside('mv .git .old && echo moved', other)).toBe('');
    await sandbox.mount({ type: 'tmpfs', target: '/w/.git/hooks' });
    expect(await inside('mv .git .old && echo moved; echo x > .git/hooks/x && echo written')).toBe('written');
    expect(existsSync(join(work, '.git/hooks/x'))).toBe(false);
    renameSync(join(work, '.git'), join(work, '.old'));
    expect(await rejection(sandbox.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_VERIFY' });
  });

  testIf(isRoot, 'root', 'are pinned in a writable bind mount that another sandbox adds later', async () => {
    await using sandbox = await Sandbox.open();
    await using _ = await Sandbox.open({ mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    await sandbox.spawn('mkdir', ['/tmp/w']);
    await sandbox.mount({ type: 'bind', source: work, target: '/tmp/w', readonly: false });
    const line = 'cd /tmp/w; mv .git .old && echo moved; touch .git/ok && echo written';
    expect((await sandbox.spawn('/bin/sh', ['-c', line], { reject: false })).stdout).toBe('written');
  });

  testIf(isRoot, 'root', 'are pinned again if something is mounted over them', async () => {
    await using sandbox = await Sandbox.open();
    const inside = async (line: string) => (await sandbox.spawn('/bin/sh', ['-c', line], { reject: false })).stdout;
    await inside('mkdir -p /tmp/a/b/c');
    await sandbox.mount({ type: 'tmpfs', target: '/tmp/a/b/c' });
    await sandbox.mount({ type: 'bind', source: work, target: '/tmp/a', readonly: false });
    mkdirSync(join(work, 'b/c'), { recursive: true });
    await sandbox.mount({ type: 'bind', source: join(work, 'a/b'), target: '/tmp/a/b/c' });
    expect(await inside('mv /tmp/a/b /tmp/a/z && echo moved')).toBe('');
  });

  test('need no pin in covered mounts and in mounts of the host', async () => {
    await using covered = await Sandbox.open({ root: 'host', cwd: '/', mounts: [{ type: 'mask', target: directory.path }] });
    await using own = await Sandbox.open({ preset: 'none' });
    await using _ = await Sandbox.open({ mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    expect((await covered.spawn('echo', ['a'])).stdout + (await own.spawn('echo', ['b'])).stdout).toBe('ab');
  });

  test('are verified by a pool before each program', async () => {
    await using pool = await SandboxPool.open({ mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    await pool.spawn('true');
    while (pool.ready === 0) await sleep(5);
    renameSync(join(work, '.git'), join(work, '.old'));
    expect(await rejection(pool.spawn('true'))).toMatchObject({ code: 'ERR_NSJS_VERIFY' });
    // The next sandbox is set up while there is nothing to protect, and reports that.
    expect(await rejection(pool.spawn('true'))).toMatchObject({ code: 'ENOENT' });
    renameSync(join(work, '.old'), join(work, '.git'));
    await pool.spawn('true');
    await using unread = await SandboxPool.open({ verify: false, mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    renameSync(join(work, '.git'), join(work, '.old'));
    await unread.spawn('true');
  });

  test('are verified by the option verify, which detects a rename from outside', async () => {
    await using sandbox = await Sandbox.open({ verify: true, mounts: [writable(), { type: 'readonly', target: '/w/.git/hooks' }] });
    await sandbox.spawn('true');
    renameSync(join(work, '.git'), join(work, '.old'));
    expect(await rejection(sandbox.spawn('true'))).toMatchObject({
      code: 'ERR_NSJS_VERIFY',
      message: expect.stringContaining('/w/.git/hooks'),
    });
  });
});

describe('ordinary work in a directory with a protected part', () => {
  const mounts = (): Mount[] => [writable(), { type: 'readonly', target: '/w/.git/hooks' }, { type: 'readonly', target: '/w/a/b/c' }];
  const options = (): SpawnOptions => ({
    mounts: mounts(),
    cwd: '/w',
    env: { GIT_CONFIG_GLOBAL: '/dev/null' },
    limits: { memory: '1G', pids: 128 },
  });

  test('git commits, branches, checks out and packs', async () => {
    rmSync(join(work, '.git'), { recursive: true });
    execFileSync('git', ['init', '-q', '-b', 'main', work]);
    mkdirSync(join(work, '.git/hooks'), { recursive: true });
    const line = `git config --add safe.directory '*' ; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      set -e; git add -A; git commit -qm one; git checkout -qb side; mkdir -p a/d; echo 1 > a/d/f; mv a/b/file a/d/moved; git add -A; git commit -qm two
      git checkout -q main; test -e a/b/file; git merge -q side; git gc -q; git stash list; git log --oneline | wc -l`;
    const config = { type: 'file', target: '/home/sandbox/.gitconfig', data: '[safe]\n\tdirectory = *\n' } as const;
    const { stdout, stderr } = await trySh(line, { ...options(), mounts: [...mounts(), config], env: {} });
    expect({ stdout, stderr }).toEqual({ stdout: '2', stderr: '' });
  });

  test('npm installs a package', async () => {
    mkdirSync(join(work, 'package'));
    writeFileSync(join(work, 'package/package.json'), '{"name":"dep","version":"1.0.0","bin":"x.js"}');
    writeFileSync(join(work, 'package/x.js'), '#!/usr/bin/env node\nconsole.log(42)');
    writeFileSync(join(work, 'package.json'), '{"name":"work","version":"1.0.0","dependencies":{"dep":"file:package"}}');
    const npm = join(dirname(dirname(process.execPath)), 'lib/node_modules/npm/bin/npm-cli.js');
    const found = existsSync(npm) ? npm : '/usr/share/nodejs/npm/bin/npm-cli.js';
    const line = `node ${found} install --offline --no-audit --no-fund --install-links >/dev/null && node ${found} install --offline --no-audit --no-fund --install-links >/dev/null && node node_modules/dep/x.js`;
    const { stdout, stderr } = await trySh(line, { ...options(), preset: 'build', env: {} });
    expect({ stdout, stderr }).toEqual({ stdout: '42', stderr: '' });
  });

  testIf(existsSync('/usr/bin/gcc') || existsSync('/usr/bin/clang'), 'a C compiler', 'a compiler builds a program', async () => {
    writeFileSync(join(work, 'a/main.c'), 'int main(void) { return 42; }');
    const compiler = existsSync('/usr/bin/gcc') ? 'gcc' : 'clang';
    const { exitCode } = await trySh(`cd a && ${compiler} -c main.c -o b/main.o && ${compiler} b/main.o -o program && ./program`, {
      ...options(),
      env: {},
    });
    expect(exitCode).toBe(42);
  });
});
