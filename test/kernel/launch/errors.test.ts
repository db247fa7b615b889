// Errors that users encounter. Each message states what is wrong, where, and what to write instead.
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { isRoot, rejection, temporaryDirectory, testIf, thrown } from '../../support';

const directory = temporaryDirectory();
chmodSync(directory.path, 0o755);
afterAll(() => directory.remove());
const file = (name: string, text: string, mode = 0o755) => {
  writeFileSync(join(directory.path, name), text, { mode });
  return name;
};
const mounts = [{ type: 'bind', source: directory.path, target: '/job' }] as const;

/** Returns the error message for a command, after checking that each way to start it produces the same message. */
async function says(command: string, options: { readonly cwd?: string } = {}): Promise<string> {
  const all = { mounts, ...options };
  const error = await rejection(spawnIsolated(command, [], all));
  expect(thrown(() => spawnIsolatedSync(command, [], all)).message).toBe(error.message);
  await using sandbox = await Sandbox.open({ mounts });
  const { cwd } = options;
  expect((await rejection(sandbox.spawn(command, [], cwd === undefined ? {} : { cwd }))).message).toBe(error.message);
  return error.message;
}

describe('a program that does not start', () => {
  test('has an error that explains a bad #! line or a missing permission', async () => {
    expect(await says(`/job/${file('none', '#!/opt/none/python\nx\n')}`)).toMatch(/ENOENT.*interpreter \/opt\/none\/python is not/);
    expect(await says(`/job/${file('arguments', '#! /opt/none/env python\nx\n')}`)).toMatch(/interpreter \/opt\/none\/env is not/);
    expect(await says(`/job/${file('crlf', '#!/bin/sh\r\necho a\r\n')}`)).toMatch(/CRLF.*'\/bin\/sh'.*line endings/);
    expect(await says(`/job/${file('plain', 'echo a\n')}`)).toMatch(/ENOEXEC.*no #! line.*\/bin\/sh/);
    expect(await says(`/job/${file('data', '#!/bin/sh\n', 0o644)}`)).toMatch(/EACCES.*chmod \+x/);
  });

  test('has an error that states where the program was looked for', async () => {
    file('job', '#!/bin/sh\n');
    expect(await says('./job')).toMatch(/ENOENT.*\/job does not exist inside.*cwd/);
    expect(await says('./nothing', { cwd: '/job' })).toMatch(/\/job\/nothing does not exist inside/);
    expect((await spawnIsolated('./job', [], { mounts, cwd: '/job' })).exitCode).toBe(0);
    expect(await says('/elsewhere')).toMatch(/add \{type: 'bind', source: '\/elsewhere'\}/);
    expect(await says('nowhere')).toMatch(/no directory of PATH/);
  });
});

describe('mounts', () => {
  test('a file on a directory and a directory on a file are refused', async () => {
    file('f', 'x');
    const on = async (source: string, target: string) =>
      (await rejection(spawnIsolated('true', [], { mounts: [{ type: 'bind', source: join(directory.path, source), target }] }))).message;
    expect(await on('f', '/usr/share')).toMatch(/mounts\[0\].*(different kinds|directory)/);
    expect(await on('', '/usr/bin/env')).toMatch(/mounts\[0\].*(different kinds|file|directory)/);
  });

  test('a readonly or mask mount without an existing target is refused', async () => {
    for (const type of ['readonly', 'mask'] as const)
      expect((await rejection(spawnIsolated('true', [], { mounts: [{ type, target: '/none' }] }))).message).toMatch(
        /ENOENT.*(exist|nothing at the target)/,
      );
  });

  test('700 mounts work, and an error about too many states the maximum', async () => {
    const many = Array.from({ length: 700 }, (_, index) => {
      mkdirSync(join(directory.path, `many/${index}`), { recursive: true });
      return { type: 'bind', source: join(directory.path, `many/${index}`), target: `/m/${index}` } as const;
    });
    expect((await spawnIsolated('/bin/sh', ['-c', 'ls /m | wc -l'], { mounts: many })).stdout).toBe('700');
    const both = many
      .slice(0, 350)
      .flatMap((mount) => [{ ...mount, readonly: false }, { type: 'readonly', target: mount.target } as const]);
    expect((await spawnIsolated('/bin/sh', ['-c', 'ls /m | wc -l'], { mounts: both })).stdout).toBe('350');
    const tooMany = Array.from({ length: 2500 }, () => many[0]).flatMap((mount) => mount ?? []);
    expect(await rejection(Promise.resolve().then(() => spawnIsolated('true', [], { mounts: tooMany })))).toMatchObject({
      message: expect.stringMatching(/mounts\[\d+\].*at most \d+ mounts/),
    });
  });
});

test('one error about a writable directory with preset container lists all alternatives', async () => {
  const writable = [{ type: 'bind', source: directory.path, target: '/w', readonly: false }] as const;
  const { message } = thrown(() => spawnIsolated('true', [], { preset: 'container', mounts: writable }));
  expect(message).toMatch(/mounts\[0\]\.readonly: .*seccomp: 'default'.*nestedUserNamespaces: false.*overlay/);
  const capabilities = /CAP_SETFCAP/.test(message) ? { capabilities: ['CAP_CHOWN'] as const } : {};
  await spawnIsolated('true', [], {
    preset: 'container',
    mounts: writable,
    seccomp: 'default',
    nestedUserNamespaces: false,
    ...capabilities,
  });
  await spawnIsolated('true', [], { preset: 'container', mounts: [{ type: 'overlay', lower: directory.path, target: '/w' }] });
});

test('an error about a misspelled option contains a suggestion, at every level', () => {
  expect(thrown(() => spawnIsolated('true', [], { timout: 5 } as object)).message).toMatch(/^timout: .*did you mean 'timeout'/);
  expect(thrown(() => spawnIsolated('true', [], { limits: { Memory: 5 } } as object)).message).toMatch(
    /^limits\.Memory: .*did you mean 'memory'/,
  );
  expect(thrown(() => spawnIsolated('true', [], { nonsense: 5 } as object)).message).not.toMatch(/did you mean/);
});

describe('an addon that does not load', () => {
  const load = async (words: readonly string[], root: string) => {
    const text = `try { require(${JSON.stringify(join(root, 'dist'))}).spawnIsolatedSync('true'); console.log('loaded') } catch (e) { console.log(e.message) }`;
    const { stdout } = await promisify(execFile)(process.execPath, [...words, '-e', text]).catch((error) => error);
    return String(stdout).trim();
  };

  /** Makes a copy of the library with another addon, or none, and returns its directory. */
  const copy = (name: string, addon?: string | Uint8Array) => {
    const root = join(directory.path, name);
    for (const part of ['chunks', 'filters', 'index.js']) cpSync(join('dist', part), join(root, 'dist', part), { recursive: true });
    writeFileSync(join(root, 'package.json'), '{ "name": "nsjs" }');
    const path = join(root, 'prebuilds', `linux-${process.arch}`);
    mkdirSync(path, { recursive: true });
    if (addon !== undefined) writeFileSync(join(path, 'nsjs.node'), addon);
    return root;
  };
  const built = () => readFileSync('build/Release/nsjs.node');

  test('a copy with its prebuild loads', async () => {
    expect(await load([], copy('whole', built()))).toBe('loaded');
  });

  test('has an error that names the setting of Node that forbids addons', async () => {
    expect(await load(['--no-addons'], process.cwd())).toMatch(/--no-addons/);
    const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
    expect(await load([permission, '--allow-fs-read=*'], process.cwd())).toMatch(/permission model.*--allow-addons/);
  });

  test('names both places where it was looked for', async () => {
    const root = copy('without-addon');
    const message = await load([], root);
    expect(message).toContain(`${root}/build/Release/nsjs.node`);
    expect(message).toContain(`${root}/prebuilds/linux-${process.arch}/nsjs.node`);
    expect(message).toMatch(/install nsjs again/);
    writeFileSync(join(root, 'binding.gyp'), '{}');
    expect(await load([], root)).toMatch(/npm run compile/);
  });

  test('mentions bundling if the code is elsewhere, and loads nothing beside it', async () => {
    const root = copy('bundled', built());
    cpSync(join(root, 'dist/chunks'), join(root, 'dist/out'), { recursive: true });
    writeFileSync(join(root, 'dist/index.js'), "module.exports = require('./out/api.js')('index');");
    expect(await load([], root)).toMatch(/bundled.*external/);
  });

  // The machine of an ELF file is in its bytes 18 and 19; 8 is MIPS.
  const ofMips = () => {
    const bytes = built();
    bytes.writeUInt16LE(8, 18);
    return bytes;
  };

  test.each([
    ['for another architecture', ofMips, /installed on another machine/],
    ['for another system', () => Buffer.alloc(4096, 'MZ'), /installed on another machine/],
    ['that was cut off', () => built().subarray(0, 20), /damaged/],
  ])('says so for a file %s', async (name, addon, expected) => {
    const message = await load([], copy(name.replaceAll(' ', '-'), addon()));
    expect(message).toMatch(expected);
    expect(message).toContain('nsjs.node');
  });

  testIf(isRoot, 'root', 'says so on a file system that is mounted noexec', async () => {
    const root = copy('noexec', built());
    const text = `mount -t tmpfs -o noexec tmpfs /mnt && cp -r ${root}/. /mnt && exec "$0" -e 'try { require("/mnt/dist").spawnIsolatedSync("true") } catch (e) { console.log(e.message) }'`;
    const { stdout } = await promisify(execFile)('unshare', ['--mount', 'sh', '-c', text, process.execPath]);
    expect(stdout).toMatch(/mounted noexec/);
  });
});

test('an error of sandbox.fs names its path', async () => {
  await using sandbox = await Sandbox.open();
  for (const act of [
    () => sandbox.fs.readFile('/none'),
    () => sandbox.fs.readdir('/tmp/none'),
    () => sandbox.fs.stat('/none/x'),
    () => sandbox.fs.writeFile('/none/x', 'a'),
    () => sandbox.fs.mkdir('/none/x'),
    () => sandbox.fs.rm('/tmp/none'),
  ])
    expect(await rejection(act())).toMatchObject({
      code: expect.stringMatching(/^E/),
      path: expect.stringMatching(/none/),
      syscall: expect.any(String),
    });
});
