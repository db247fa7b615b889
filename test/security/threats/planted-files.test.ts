import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Mount, Sandbox, type SandboxOptions, spawnIsolated, unpackImage, unpackTar } from 'nsjs';
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

describe('a link that a program planted does not redirect a later sandbox', () => {
  let secret: string;
  beforeEach(async () => {
    secret = join(directory.path, 'secret');
    mkdirSync(secret);
    writeFileSync(join(secret, 'key'), 'key');
    await sh(`ln -s ${secret} /w/out; ln -s ${secret}/key /w/file; mkdir /w/real`, { mounts: [writable()] });
  });

  const bind = (source: string, more: object = {}): SandboxOptions => ({ mounts: [{ type: 'bind', source, target: '/x', ...more }] });

  test.each<[string, () => SandboxOptions]>([
    ['bind', () => bind(join(work, 'out'))],
    ['bind of a file', () => bind(join(work, 'file'))],
    ['bind of what is below it', () => bind(join(work, 'out/key'))],
    ['writable bind', () => bind(join(work, 'out'), { readonly: false })],
    ['lower of an overlay', () => ({ mounts: [{ type: 'overlay', lower: join(work, 'out'), target: '/x' }] })],
    ['upper of an overlay', () => ({ mounts: [{ type: 'overlay', lower: work, upper: join(work, 'out'), target: '/x' }] })],
    ['root', () => ({ root: join(work, 'out') })],
  ])('%s', async (_, options) => {
    const error = await rejection(spawnIsolated('/bin/cat', ['/x/key'], options()));
    expect(error).toMatchObject({ code: 'ELOOP', path: expect.stringMatching(/work\/(out|file)$/) });
    expect(error.message).toContain(secret);
    expect((await rejection(Sandbox.open(options()))).code).toBe('ELOOP');
  });

  test('copies and archives refuse planted links', async () => {
    await using sandbox = await Sandbox.open({});
    await sandbox.fs.writeFile('/tmp/a', 'a');
    expect((await rejection(sandbox.fs.copyOut('/tmp/a', join(work, 'out/stolen')))).code).toBe('ELOOP');
    expect((await rejection(sandbox.fs.copyIn(join(work, 'out/key'), '/tmp/b'))).code).toBe('ELOOP');
    expect((await rejection(unpackTar(join(work, 'none.tar'), join(work, 'out/tree')))).code).toBe('ELOOP');
    symlinkSync(join(secret, 'key'), join(work, 'planted.tar'));
    expect((await rejection(unpackTar(join(work, 'planted.tar'), join(work, 'tree')))).code).toBe('ELOOP');
    expect(existsSync(join(secret, 'tree'))).toBe(false);
    expect(existsSync(join(secret, 'stolen'))).toBe(false);
  });

  test('followLinks follows links, and paths without links do not need it', async () => {
    expect(await sh('cat /x/key', bind(join(work, 'out'), { followLinks: true }))).toBe('key');
    expect(await sh('ls -d /x', bind(join(work, 'real')))).toBe('/x');
    expect(await sh('ls -d /x', bind(`${work}/./a/../real/`))).toBe('/x');
  });

  test('links of the system are followed', async () => {
    expect(await sh('/x/sh -c "echo ok"', bind('/bin'))).toBe('ok');
    if (existsSync('/usr/bin/python3')) expect(await sh('/x -c "print(1)"', bind('/usr/bin/python3'))).toBe('1');
    expect(await sh('ls -d /x', bind('/var/run'))).toBe('/x');
  });

  test('a link that is created after the check is not followed', async () => {
    // In these 300 rounds, the path is a directory half of the time and otherwise a link.
    const swapped = join(work, 'swap');
    const program = `my ($p, $t) = @ARGV; while (1) { mkdir $p; rmdir $p; symlink $t, $p; unlink $p }`;
    const other = await Sandbox.open({ mounts: [writable()] });
    const running = other.spawn('perl', ['-e', program, '/w/swap', secret], { reject: false });
    await running.spawned;
    for (let round = 0; round < 300; round++) {
      const { stdout } = await spawnIsolated('/bin/ls', ['/x'], { ...bind(swapped), reject: false }).catch(() => ({ stdout: '' }));
      expect(stdout).toBe('');
    }
    await other.close();
    await running;
  });
});

describe('operations of a program on a shared file do not block other processes', () => {
  // F_SETLEASE, F_RDLCK and F_WRLCK; F_NOTIFY with DN_MODIFY; F_SETDELEG
  const lines = `perl -e 'use Fcntl; open my $f, "<", "/w/file" or die; for ([1024, 0], [1024, 1], [1026, 2], [1040, 0]) { print defined(fcntl($f, $_->[0], $_->[1])) ? "taken" : 0+$!, "\\n" } print fcntl($f, 3, 0) ? "ok" : "no"'`;
  const docker = JSON.parse(readFileSync(join(__dirname, '../../../test/data/moby-default-seccomp.json'), 'utf8')) as object;

  test.each<[string, SandboxOptions]>([
    ['default', {}],
    ['container', { preset: 'container' }],
    ["Docker's profile", { seccomp: { docker } }],
  ])('leases and notifications are refused: %s', async (_, options) => {
    writeFileSync(join(work, 'file'), 'x');
    const found = (await sh(lines, { mounts: [{ type: 'bind', source: work, target: '/w' }], ...options })).split('\n');
    expect(found.slice(0, 3)).toEqual(['1', '1', '1']);
    expect(['1', '22']).toContain(found[3]);
    expect(found[4]).toBe('ok');
    // A non-blocking open for writing on the host does not fail with EAGAIN.
    expect(
      spawnSync('perl', ['-e', 'use Fcntl; print sysopen(my $f, $ARGV[0], O_WRONLY | O_NONBLOCK) ? "open" : $!', join(work, 'file')], {
        encoding: 'utf8',
      }).stdout,
    ).toBe('open');
  });

  test('copies and archives refuse FIFOs, sockets and devices immediately', async () => {
    execFileSync('mkfifo', [join(work, 'fifo')]);
    const server = createServer().listen(join(work, 'socket'));
    await using sandbox = await Sandbox.open({ mounts: [writable(), { type: 'overlay', lower: work, target: '/o' }] });
    await sandbox.spawn('/bin/sh', ['-c', 'mkfifo /o/new /tmp/fifo']);
    for (const path of ['/w/fifo', '/w/socket', '/tmp/fifo']) {
      expect(['EINVAL', 'ENXIO', 'EACCES']).toContain((await rejection(sandbox.fs.readFile(path))).code);
      expect(['EINVAL', 'ENXIO', 'EACCES']).toContain((await rejection(sandbox.fs.writeFile(path, 'x'))).code);
      await sandbox.fs.stat(path);
      expect((await rejection(sandbox.fs.copyOut(path, join(work, 'copy')))).code).toBe('EINVAL');
    }
    expect((await rejection(sandbox.fs.copyIn(join(work, 'fifo'), '/tmp/copy'))).code).toBe('EINVAL');
    expect((await rejection(sandbox.fs.copyOut('/w', join(directory.path, 'whole')))).code).toBe('EINVAL');
    expect((await sandbox.overlay('/o').diff()).map(({ path, type }) => [path, type])).toEqual([['/new', 'other']]);
    await sandbox.overlay('/o').commit(join(directory.path, 'kept'));
    for await (const _ of sandbox.overlay('/o').exportTar());
    for (const path of ['fifo', 'socket']) {
      const error = await rejection(unpackTar(join(work, path), join(directory.path, 'tree')));
      expect(error).toMatchObject({ code: 'ERR_NSJS_ARCHIVE', message: expect.stringContaining('regular file') });
    }
    renameSync(join(work, 'fifo'), join(work, 'index.json'));
    expect((await rejection(unpackImage(work, join(directory.path, 'image')))).code).toBe('ERR_NSJS_ARCHIVE');
    server.close();
  });
});

describe('/proc without a pid namespace', () => {
  const options = { namespaces: { pid: false } } as const;

  testIf(isRoot, 'root', 'shows the program only its own processes', async () => {
    const found = await sh('ls /proc; cat /proc/self/comm; cat /proc/kallsyms; cat /proc/1/cmdline', { ...options, proc: 'pids' }).catch(
      (error) => String(error.stdout),
    );
    expect(found).toMatch(/^self$/m);
    expect(found).not.toMatch(/^(kallsyms|keys|1|cmdline|sys)$/m);
    const masked = await trySh('ls /proc; cat /proc/kallsyms /proc/keys /proc/cmdline', { ...options, proc: 'masked' });
    expect(masked.stdout).toMatch(/^meminfo$/m);
    expect(masked.stdout).not.toMatch(/^1$/m);
    expect(masked.stdout).not.toMatch(/BOOT_IMAGE|[0-9a-f]{16} T /);
  });

  testIf(!isRoot, 'a user', "is an error for an unprivileged user, and is dropped with 'prefer'", async () => {
    for (const proc of ['pids', 'masked'] as const)
      expect((await rejection(Promise.resolve().then(() => spawnIsolated('true', [], { ...options, proc })))).message).toMatch(
        /^proc: .*'off'/,
      );
    const { report, stdout } = await trySh('ls -d /proc/self', { ...options, proc: 'prefer' });
    expect(stdout).toBe('');
    expect(report.dropped.map(({ control }) => control)).toContain('proc');
  });

  test("with 'full' is that of the host, and the report contains this, also for a preset", async () => {
    for (const asked of [{ proc: 'full' }, { preset: 'container' }] as const) {
      const { stdout, report } = await trySh('ls -d /proc/kallsyms', { ...options, ...asked });
      expect(stdout).toBe('/proc/kallsyms');
      expect(report.dropped).toContainEqual(expect.objectContaining({ control: 'proc', reason: expect.stringContaining('host') }));
    }
    expect(await sh('ls /proc | wc -l', { ...options, proc: 'off' })).toBe('0');
  });
});
