// limits.pids where only RLIMIT_NPROC can enforce it. RLIMIT_NPROC counts every process of the user.
import { readdirSync, readFileSync } from 'node:fs';
import { Sandbox, spawnIsolated } from 'nsjs';
import { hasCgroups, isRoot, sleep, testIf, trySh } from '../../support';

const isApproximate = !isRoot && !hasCgroups;
const uid = process.getuid?.() ?? 0;

/** Returns the current number of tasks of this user. */
function tasks(): number {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .reduce((sum, pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'latin1');
        const isOwn = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) === uid;
        return sum + (isOwn ? Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]) : 0);
      } catch {
        return sum;
      }
    }, 0);
}

/** Returns a fork bomb in Python whose processes each execute `more`. */
const python = (more: string) => [
  'python3',
  '-c',
  `import os, time\nwhile True:\n  try:\n    if os.fork() == 0: ${more}\n  except OSError: time.sleep(0.05)`,
];
/**
 * Kind, limits.pids and command of each bomb. With more sessions than this the scheduler leaves this process no time
 * to kill them.
 */
const bombs: readonly (readonly [string, number, readonly string[]])[] = [
  ['of a shell', 1000, ['/bin/sh', '-c', 'f() { f | f & }; while :; do f; sleep 0.05; done']],
  ['whose processes each have a session', 600, python('os.setsid()')],
  ['whose processes each have a group', 1000, python('os.setpgid(0, 0)')],
];

describe('a user, preset landlock', () => {
  testIf(isApproximate, 'a user without a cgroup', 'a program can start about limits.pids processes, whatever the user has', async () => {
    const line = 'n=0; while [ $n -lt 60 ]; do (sleep 5 & echo started) 2>/dev/null || break; n=$((n+1)); done | wc -l';
    const { stdout, report } = await trySh(line, { preset: 'landlock', limits: { pids: 20 } });
    expect(Number(stdout)).toBeGreaterThan(5);
    expect(Number(stdout)).toBeLessThanOrEqual(20);
    const told = report.dropped.find(({ control }) => control === 'limits.pids');
    expect(told?.reason).toMatch(/approximately/);
  });

  for (const [kind, pids, [command = '', ...args]] of bombs)
    testIf(isApproximate, 'a user without a cgroup', `a fork bomb ${kind} stays within limits.pids and is killed within 5 s`, async () => {
      const before = tasks();
      const running = spawnIsolated(command, args, {
        preset: 'landlock',
        limits: { pids, memory: '2G' },
        stdio: 'ignore',
        reject: false,
      });
      await running.spawned;
      // Shells that cannot fork exit, all of them together: therefore the highest number seen counts.
      let most = 0;
      for (let looks = 0; looks < 400 && most < pids * 0.6; looks++) {
        most = Math.max(most, tasks() - before);
        await sleep(25);
      }
      expect(most).toBeGreaterThan(pids / 2);
      // The slack is for init and for tasks that this process has started in the meantime.
      expect(most).toBeLessThan(pids + 100);
      const since = performance.now();
      running.kill('SIGKILL');
      await running;
      const took = performance.now() - since;
      expect(took).toBeLessThan(5000);
      expect(tasks() - before).toBeLessThan(50);
    });

  testIf(isApproximate, 'a user without a cgroup', 'a lower limit that the caller sets is kept', async () => {
    const { stdout } = await spawnIsolated('bash', ['-c', 'ulimit -u'], {
      preset: 'landlock',
      limits: { pids: 1000 },
      rlimits: { nproc: 500 },
    });
    expect(Number(stdout)).toBeLessThanOrEqual(500);
    await using sandbox = await Sandbox.open({ preset: 'landlock', limits: { pids: 30 } });
    const { stdout: inside } = await sandbox.spawn('bash', ['-c', 'ulimit -u']);
    expect(Number(inside)).toBeLessThan(tasks() + 100);
  });
});
