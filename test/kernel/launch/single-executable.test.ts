// A single-executable application: process.execPath is the application, and runs no scripts.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { forkIsolated, spawnIsolated, unpackTar } from 'nsjs';
import { rejection, temporaryDirectory, thrown } from '../../support';

jest.mock('node:sea', () => ({ isSea: () => true }));

const directory = temporaryDirectory();
afterAll(() => directory.remove());

test('forkIsolated and unpackTar have an error that says so', async () => {
  const expected = { code: 'ERR_NSJS_UNSUPPORTED', message: expect.stringContaining('single-executable') };
  expect(thrown(() => forkIsolated(__filename))).toMatchObject(expected);
  const target = join(directory.path, 'root');
  expect(await rejection(unpackTar(Readable.from([Buffer.alloc(1024)]), target))).toMatchObject(expected);
  expect(existsSync(target)).toBe(false);
});

test('programs run', async () => {
  expect((await spawnIsolated('echo', ['hello'])).stdout).toBe('hello');
});
