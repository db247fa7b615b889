// Common programs under the presets that are meant for them. Programs that need more options are at the end of this
// file and in docs/recipes.md.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SandboxOptions } from 'nsjs';
import { sh, temporaryDirectory, testIf, trySh } from '../../support';

const has = (command: string) =>
  spawnSync('/bin/sh', ['-c', `command -v ${command}`], { env: { PATH: '/usr/local/bin:/usr/bin:/bin' } }).status === 0;
const need = (command: string, name: string, body: () => Promise<unknown>) => testIf(has(command), command, name, body);
const presets = ['untrusted', 'node', 'build'] as const;

describe.each(presets)('%s', (preset) => {
  test('Node can use modules, workers, child processes and files', async () => {
    const script = `
      const { Worker } = require('worker_threads'); const { execFileSync } = require('child_process'); const fs = require('fs'); const zlib = require('zlib');
      fs.writeFileSync('/tmp/f', zlib.gzipSync('x'.repeat(1e6)));
      new Worker('require("worker_threads").parentPort.postMessage(40 + 2)', { eval: true }).on('message', (m) => {
        console.log(m, zlib.gunzipSync(fs.readFileSync('/tmp/f')).length, execFileSync(process.execPath, ['-p', '6 * 7'], { encoding: 'utf8' }).trim());
      });`;
    expect(await sh(`"${process.execPath}" -e '${script.replaceAll("'", `'"'"'`)}'`, { preset, limits: { memory: '1G' } })).toBe(
      '42 1000000 42',
    );
  });

  need('python3', 'Python can use processes, locks and SQLite', async () => {
    const script =
      'import multiprocessing as m, sqlite3, subprocess, tempfile\nwith m.Pool(2) as pool: print(sum(pool.map(abs, range(-5, 5))))\nc = sqlite3.connect(tempfile.mktemp()); c.execute("pragma journal_mode=wal"); c.execute("create table t (a)"); c.execute("insert into t values (7)"); print(c.execute("select a from t").fetchone()[0], subprocess.check_output(["echo", "sub"], text=True).strip())';
    expect(await sh(`/usr/bin/python3 -c '${script}'`, { preset })).toBe('25\n7 sub');
  });

  need('sqlite3', 'SQLite can create a database in the home directory', async () => {
    expect(
      await sh('sqlite3 ~/db "pragma journal_mode=wal; create table t(a); insert into t values (1), (2); select sum(a) from t"', {
        preset,
      }),
    ).toBe('wal\n3');
  });

  need('curl', 'curl cannot connect', async () => {
    const { exitCode, stderr } = await trySh('curl -sS --max-time 5 http://127.0.0.1:9/', { preset });
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/connect|refused/i);
  });

  need('git', 'git can create, commit to and clone a repository', async () => {
    const line =
      'cd /tmp && git init -q a && cd a && echo hi > f && git add f && git -c user.name=n -c user.email=e commit -qm first && git clone -q /tmp/a /tmp/b && git -C /tmp/b log --format=%s && git -C /tmp/b fsck';
    expect(await sh(line, { preset })).toBe('first');
  });
});

describe('build', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  const options = (): SandboxOptions => ({
    preset: 'build',
    mounts: [{ type: 'bind', source: directory.path, target: '/work', readonly: false }],
    cwd: '/work',
  });
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => directory.remove());

  need('gcc', 'gcc and make can build a project of several files', async () => {
    for (let index = 0; index < 8; index++)
      writeFileSync(join(directory.path, `f${index}.c`), `#include <stdio.h>\nint f${index}(void) { return ${index}; }\n`);
    writeFileSync(
      join(directory.path, 'main.c'),
      `#include <stdio.h>\n${Array.from({ length: 8 }, (_, i) => `int f${i}(void);`).join(' ')}\nint main(void) { printf("%d\\n", ${Array.from({ length: 8 }, (_, i) => `f${i}()`).join(' + ')}); }\n`,
    );
    writeFileSync(join(directory.path, 'Makefile'), 'prog: $(patsubst %.c,%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n');
    expect((await sh('make -j2 > log 2>&1 && ./prog', options())).trim()).toBe('28');
    expect(existsSync(join(directory.path, 'prog'))).toBe(true);
  });

  testIf(has('java'), 'java', 'Java prints its version', async () => {
    const { stdout, stderr } = await trySh('java -Xmx256m -version 2>&1', options());
    expect(`${stdout}${stderr}`).toMatch(/version/);
  });

  testIf(has('chromium'), 'chromium', 'Chromium prints its version', async () => {
    // Debian starts Chromium through a script that reads settings from this directory.
    const settings = { type: 'bind', source: '/etc/chromium.d' } as const;
    const given = options();
    expect(await sh('chromium --version 2>/dev/null', { ...given, mounts: [...(given.mounts ?? []), settings] })).toMatch(/Chromium/);
  });

  test('Jest runs a test suite in the sandbox', async () => {
    const modules = realpathSync(join(__dirname, '../../../node_modules'));
    mkdirSync(join(directory.path, 'suite'));
    writeFileSync(
      join(directory.path, 'suite/a.test.js'),
      "test('adds', () => expect(1 + 1).toBe(2)); test('waits', () => new Promise((done) => setTimeout(done, 5)));",
    );
    writeFileSync(join(directory.path, 'package.json'), '{}');
    const { stderr, exitCode } = await trySh(
      `"${process.execPath}" /modules/node_modules/jest/bin/jest.js --rootDir /work --cacheDirectory /tmp/cache`,
      {
        ...options(),
        mounts: [...(options().mounts ?? []), { type: 'bind', source: modules, target: '/modules/node_modules' }],
      },
    );
    expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/Tests: +2 passed/)]);
  });
});

describe('programs that need more than their preset', () => {
  need('strace', 'a debugger needs ptrace', async () => {
    const line = 'strace -o /tmp/log true; grep -c execve /tmp/log';
    expect((await trySh(line)).stdout).not.toBe('1');
    expect(await sh(line, { seccomp: { allow: ['ptrace', 'process_vm_readv'] } })).toBe('1');
  });

  test('listing network interfaces needs netlink', async () => {
    const line = `"${process.execPath}" -p 'Object.keys(os.networkInterfaces()).length'`;
    expect((await trySh(line, { limits: { memory: '1G' } })).exitCode).not.toBe(0);
    expect(await sh(line, { netlink: true, limits: { memory: '1G' } })).toBe('1');
  });

  test('information about the CPUs needs masked proc', async () => {
    const line = `"${process.execPath}" -p 'os.cpus().length > 0'`;
    expect(await sh(line, { limits: { memory: '1G' } })).toBe('false');
    expect(await sh(line, { proc: 'masked', limits: { memory: '1G' } })).toBe('true');
  });

  test('a script outside /usr needs a bind mount', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'tool'), '#!/bin/sh\necho tool', { mode: 0o755 });
    execFileSync('chmod', ['755', directory.path]);
    expect(await sh('/opt/tools/tool', { mounts: [{ type: 'bind', source: directory.path, target: '/opt/tools' }] })).toBe('tool');
    expect(dirname('/opt/tools/tool')).toBe('/opt/tools');
    directory.remove();
  });
});
