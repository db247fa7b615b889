import { execFileSync } from 'node:child_process';
import { basename } from 'node:path';

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
