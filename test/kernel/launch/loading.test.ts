import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { basename, join } from 'node:path';
import { temporaryDirectory, testIf } from '../../support';

/** Returns the files in dist/chunks that a program loads. `nsjs` is the library in it. */
function chunksOf(body: string): readonly string[] {
  const code = `const nsjs = require('nsjs');
    process.on('exit', () => console.log(Object.keys(require.cache).filter((path) => path.includes('chunks')).join()));
    ${body}`;
  const loaded = execFileSync(process.execPath, ['-e', code], { cwd: process.cwd(), encoding: 'utf8' }).trim();
  return loaded.split(',').map((path) => basename(path, '.js'));
}

// If one of these fails, `node scripts/build/chunks.mjs` finds the modules that a run needs now.
test('require() loads one chunk, and reading every export no other', () => {
  expect(chunksOf('')).toEqual(['api']);
  expect(chunksOf('for (const name in nsjs) nsjs[name]')).toEqual(['api']);
});

test.each([
  ['spawnIsolated', "nsjs.spawnIsolated('cat', [], { input: 'text' })"],
  ['spawnIsolatedSync', "nsjs.spawnIsolatedSync('true')"],
])('%s with default options loads one chunk more', (_name, call) => {
  expect(chunksOf(call)).toEqual(['api', 'run']);
});

describe('the compile cache of the command', () => {
  const hasCache = 'enableCompileCache' in nodeModule;
  const home = temporaryDirectory();
  afterAll(() => home.remove());
  const run = (cache: string) => {
    execFileSync(process.execPath, ['dist/cli/main.js', '--help'], { env: { HOME: home.path, XDG_CACHE_HOME: cache }, stdio: 'pipe' });
    return existsSync(join(cache, 'nsjs'));
  };
  const directory = (name: string, mode: number) => {
    const path = join(home.path, name);
    mkdirSync(path);
    chmodSync(path, mode);
    return path;
  };

  testIf(hasCache, 'a compile cache of Node', 'is in a directory of the user', () => {
    const cache = directory('own', 0o755);
    expect(run(cache)).toBe(true);
    expect(readdirSync(join(cache, 'nsjs')).length).toBeGreaterThan(0);
    expect(statSync(join(cache, 'nsjs')).mode & 0o777).toBe(0o700);
  });

  testIf(hasCache, 'a compile cache of Node', 'is not used where others could put code', () => {
    expect(run(directory('shared', 0o777))).toBe(false);
    const cache = directory('prepared', 0o755);
    mkdirSync(join(cache, 'nsjs'));
    chmodSync(join(cache, 'nsjs'), 0o777);
    run(cache);
    expect(readdirSync(join(cache, 'nsjs'))).toEqual([]);
  });

  test('a missing directory is no error', () => {
    expect(run(join(home.path, 'none'))).toBe(false);
  });
});

test('in Jest, programs and sandboxes may end after their test file', () => {
  const project = temporaryDirectory();
  const file = (name: string, body: string) =>
    writeFileSync(join(project.path, name), `const { Sandbox, spawnIsolated } = require(${JSON.stringify(process.cwd())});\n${body}`);
  file('1.test.js', "test('a', async () => { globalThis.s = await Sandbox.open(); }); afterAll(() => { globalThis.s.close(); });");
  file('2.test.js', "test('b', () => { spawnIsolated('sleep', ['0.3']).catch(() => {}); });");
  file('3.test.js', "test('c', () => new Promise((done) => setTimeout(done, 1500)));");
  writeFileSync(join(project.path, 'package.json'), '{}');
  const jest = join(process.cwd(), 'node_modules/jest/bin/jest.js');
  const run = () => execFileSync(process.execPath, [jest, '-i'], { cwd: project.path, encoding: 'utf8', stdio: 'pipe' });
  try {
    expect(run).not.toThrow();
  } finally {
    project.remove();
  }
});

test('a stack trace names functions, and lines of the sources with --enable-source-maps', () => {
  const code = "require('nsjs').spawnIsolatedSync(1)";
  const stack = (...flags: readonly string[]) => {
    try {
      return execFileSync(process.execPath, [...flags, '-e', code], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      return (error as { stderr: string }).stderr;
    }
  };
  expect(stack()).toMatch(/at .*spawnIsolatedSync .*dist\/chunks\/api\.js/);
  expect(stack('--enable-source-maps')).toMatch(/at .*spawnIsolatedSync .*lib\/run\/spawn-sync\.ts:\d+/);
});
