// A thousand sandboxes at the same time: all start, all are listed, all close, and nothing is left.
import { readFileSync } from 'node:fs';
import { type IsolatedProcess, Sandbox, spawnIsolated } from 'nsjs';
import { findSandboxes } from '../../../dist/monitor/discover';
import { isSlow, testIf } from '../../support';
import { openDescriptors, ownLaunchers, sandboxCgroups } from '../../support/processes';
import { eventually } from '../../support/until';

const most = 1000;
const steps = [1, 100, most] as const;
const descriptorsEach = 14;
const timed = 40;

const limitOf = (name: string) => Number(new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
const fits = limitOf('Max open files') > most * descriptorsEach + 200 && !(limitOf('Max processes') < 4 * most);

const pssOf = (pid: number) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0);

async function medianSpawn(): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < timed; round++) {
    const before = performance.now();
    await spawnIsolated('true');
    times.push(performance.now() - before);
  }
  return times.sort((one, other) => one - other)[timed / 2] ?? 0;
}

testIf(
  fits && !isSlow,
  `${most * descriptorsEach} descriptors, and a machine that is not emulated`,
  `${most} sandboxes run at the same time and leave nothing behind`,
  async () => {
    await (await Sandbox.open()).close();
    await medianSpawn();
    const before = { descriptors: openDescriptors(), launchers: ownLaunchers().length, memory: process.memoryUsage().rss };
    const sandboxes: Sandbox[] = [];
    const programs: IsolatedProcess[] = [];
    const told: string[] = [];
    for (const step of steps) {
      while (sandboxes.length < step) {
        const opened = await Promise.all(Array.from({ length: Math.min(20, step - sandboxes.length) }, () => Sandbox.open()));
        for (const sandbox of opened) {
          sandboxes.push(sandbox);
          programs.push(sandbox.spawn('sleep', ['1000'], { reject: false }));
        }
      }
      await Promise.all(programs.map(({ spawned }) => spawned));
      told.push(`${step} live: spawn p50 ${(await medianSpawn()).toFixed(2)} ms`);
    }
    expect(Sandbox.list().length).toBe(most);
    const found = findSandboxes().filter(({ owner }) => owner === process.pid);
    expect(found.length).toBe(most);
    expect(new Set(found.map(({ command }) => command))).toEqual(new Set(['sleep 1000']));
    const launchers = found.slice(0, 50).flatMap(({ launcher, init }) => [launcher, init]);
    let each = 'not readable';
    try {
      each = `${Math.round(launchers.reduce((sum, pid) => sum + pssOf(pid), 0) / 50)} KB of launcher and init`;
    } catch {
      // For an unprivileged user, the memory of init is not readable.
    }
    const own = Math.round((process.memoryUsage().rss - before.memory) / most / 1024);
    process.stderr.write(`${told.join('; ')}; each: ${each} (Pss), ${own} KB of this process\n`);
    await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
    for (const program of programs) expect(await program).toMatchObject({ reason: 'killed' });
    expect(Sandbox.list()).toEqual([]);
    expect(sandboxCgroups()).toEqual([]);
    await eventually(() => {
      expect(ownLaunchers().length).toBeLessThanOrEqual(before.launchers);
      expect(openDescriptors()).toBeLessThanOrEqual(before.descriptors);
    });
  },
);
