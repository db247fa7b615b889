// Hosts that refuse a part of what nsjs needs. On each, nsjs must fail with a typed error that names cause and fix, or
// run with the preferred degradation.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isRoot, temporaryDirectory, testIf } from '../../support';
import { hasRunc, runContainer } from '../../support/container';

const library = join(__dirname, '../../../dist/index.js');
const checkout = dirname(dirname(library));

/** Returns a Node script that spawns with the given options and prints the outcome as JSON. */
const attempt = (options: string) => `
  const { spawnIsolated, probe } = require(${JSON.stringify(library)});
  (async () => {
    const { features } = await probe();
    try {
      const { stdout, report } = await spawnIsolated('/bin/sh', ['-c', 'id -u; cat /proc/self/status 2>/dev/null | grep -c NoNewPrivs'], ${options});
      console.log(JSON.stringify({ stdout, dropped: report.dropped, features }));
    } catch ({ name, code, syscall, origin, hint, message }) {
      console.log(JSON.stringify({ name, code, syscall, origin, hint, message, features }));
    }
  })()`;

const inNamespace = (setUp: string, options = '{ reject: false }') =>
  JSON.parse(
    execFileSync('unshare', ['-Ur', '/bin/sh', '-c', `${setUp}; exec "$0" -e "$1"`, process.execPath, attempt(options)], {
      encoding: 'utf8',
    }),
  );

test('in a nested user namespace everything works', () => {
  expect(inNamespace(':').stdout).toMatch(/^\d+\n1$/);
});

test('with user.max_user_namespaces = 0 the error names the cause and the fix', () => {
  const answer = inNamespace('echo 0 > /proc/sys/user/max_user_namespaces');
  expect(answer).toMatchObject({
    name: 'SysError',
    code: 'ENOSPC',
    syscall: 'clone3',
    origin: 'namespaces',
    hint: expect.stringContaining('max_user_namespaces'),
  });
  expect(answer.features.userNamespaces).toMatchObject({
    available: false,
    reason: 'user.max_user_namespaces is 0',
    fix: expect.stringContaining('sysctl'),
  });
});

test('if other mounts cover /proc, proc is refused, or omitted and reported if preferred', () => {
  const cover = 'unshare -m true; mount -t tmpfs none /proc/sys 2>/dev/null';
  const run = (options: string) =>
    JSON.parse(
      execFileSync('unshare', ['-Urm', '/bin/sh', '-c', `${cover}; exec "$0" -e "$1"`, process.execPath, attempt(options)], {
        encoding: 'utf8',
      }),
    );
  expect(run('{}')).toMatchObject({ name: 'SysError', code: 'EPERM', origin: 'proc', hint: expect.stringContaining("proc: 'prefer'") });
  const preferred = run("{ proc: 'prefer', reject: false }");
  expect(preferred.dropped).toContainEqual(expect.objectContaining({ control: 'proc', fix: expect.any(String) }));
  expect(preferred.features.proc).toMatchObject({ available: false, reason: expect.stringContaining('covered') });
});

testIf(isRoot, 'root', 'in a chroot the error refers to probe, and probe reports the chroot', () => {
  const directory = temporaryDirectory();
  const names = ['usr', 'bin', 'lib', 'lib64', 'etc', 'dev', 'proc', 'sys', 'tmp', 'run'].filter((name) => existsSync(`/${name}`));
  const line = `cd ${directory.path} && for d in ${names.join(' ')}; do mkdir $d && mount --rbind /$d $d; done && mkdir -p .${checkout} && mount --bind ${checkout} .${checkout} &&
    exec chroot . ${process.execPath} -e "$0"`;
  const { stdout, stderr } = spawnSync('unshare', ['-m', '/bin/sh', '-c', line, attempt('{}')], { encoding: 'utf8' });
  const answer = JSON.parse(stdout || JSON.stringify({ stderr }));
  expect(answer).toMatchObject({ code: 'EPERM', origin: 'namespaces', hint: expect.stringContaining('nsjs probe') });
  expect(answer.features.userNamespaces).toMatchObject({
    available: false,
    reason: expect.stringContaining('chroot(2)'),
    fix: expect.stringContaining('pivot_root'),
  });
  directory.remove();
});

/** Runs Node in a container that runc creates with the settings of Docker and the host's /usr. */
function inContainer(options: string, seccomp: boolean) {
  const { stdout, stderr } = runContainer({ args: [process.execPath, '-e', attempt(options)], binds: ['/usr', checkout], seccomp });
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`runc: ${stdout}${stderr}`);
  }
}

testIf(hasRunc, 'runc and root', 'in a default Docker container probe names the seccomp filter as the cause', () => {
  const answer = inContainer('{}', true);
  expect(answer).toMatchObject({ name: 'SysError', syscall: 'clone3', origin: 'namespaces', hint: expect.any(String) });
  expect(answer.features.userNamespaces).toMatchObject({
    available: false,
    reason: expect.stringContaining('seccomp'),
    fix: expect.stringContaining('--security-opt'),
  });
});

testIf(hasRunc, 'runc and root', 'in a container with Docker’s masked paths and no seccomp, nsjs runs if proc is only preferred', () => {
  const strict = inContainer('{}', false);
  expect(strict).toMatchObject({ name: 'SysError', code: 'EPERM', origin: 'proc', hint: expect.stringContaining('proc') });
  const answer = inContainer("{ proc: 'prefer', reject: false }", false);
  expect(answer.stdout).toMatch(/^\d+/);
  const dropped = answer.dropped.map(({ control }: { control: string }) => control).sort();
  expect(dropped).toEqual(expect.arrayContaining(['nestedUserNamespaces', 'proc']));
});

testIf(hasRunc, 'runc and root', 'in a default Docker container the preset landlock runs and reports what it lacks', () => {
  const answer = inContainer("{ preset: 'landlock', reject: false }", true);
  expect(answer.stdout).toMatch(/^0/);
  expect(answer.dropped.map(({ control }: { control: string }) => control)).toEqual(
    expect.arrayContaining(['capabilities', 'limits.pids', 'mounts']),
  );
});

test('with user.max_user_namespaces = 0 the preset landlock runs', () => {
  expect(inNamespace('echo 0 > /proc/sys/user/max_user_namespaces', "{ preset: 'landlock', reject: false }").stdout).toMatch(/^\d+/);
});
