// Stand-in limits (rlimits that replace cgroup limits), combined with the rlimits that the caller sets.
import { type SpawnOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';

const line = ['-c', 'ulimit -Su; ulimit -Hu; ulimit -Sd; ulimit -Hd'] as const;
const unlimited = Number.POSITIVE_INFINITY;
const numbers = (text: string) => text.split('\n').map((one) => (one === 'unlimited' ? unlimited : Number(one)));

/** Returns the soft and hard limit of processes, then those of data in kilobytes, as seen by a program. */
async function limitsOf(options: SpawnOptions): Promise<readonly number[]> {
  const all: SpawnOptions = { cgroup: 'off', ...options };
  const found = numbers((await spawnIsolated('bash', line, { ...all, encoding: 'utf8' })).stdout);
  expect(numbers(spawnIsolatedSync('bash', line, { ...all, encoding: 'utf8' }).stdout)).toEqual(found);
  return found;
}

test('the tighter of the two limits applies', async () => {
  const mebibyte = 1024;
  expect(await limitsOf({ limits: { memory: '64M', pids: 20 } })).toEqual([20, 20, 64 * mebibyte, 64 * mebibyte]);
  expect(await limitsOf({ limits: { memory: '64M', pids: 20 }, rlimits: { nproc: 10, data: 32 * 2 ** 20 } })).toEqual([
    10,
    10,
    32 * mebibyte,
    32 * mebibyte,
  ]);
  expect(await limitsOf({ limits: { memory: '64M', pids: 20 }, rlimits: { nproc: 100, data: 'unlimited' } })).toEqual([
    20,
    20,
    64 * mebibyte,
    64 * mebibyte,
  ]);
  expect(await limitsOf({ limits: { memory: '64M', pids: 20 }, rlimits: { nproc: { soft: 5, hard: 15 } } })).toEqual([
    5,
    15,
    64 * mebibyte,
    64 * mebibyte,
  ]);
});
