import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { releaseKept } from '../../dist/base/kept';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
};

/** Returns the pid of every process that is a launcher of nsjs or has `marker` among its arguments. */
export function sandboxProcesses(marker = '\0none'): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const line = read(`/proc/${pid}/cmdline`);
      return line === 'nsjs\0' || line.includes(marker);
    })
    .map(Number);
}

const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);

/** Returns the launchers that descend from this process. */
export function ownLaunchers(): readonly number[] {
  return sandboxProcesses().filter((pid) => {
    let ancestor = pid;
    while (ancestor > 1 && ancestor !== process.pid) ancestor = parentOf(ancestor);
    return ancestor === process.pid;
  });
}

/** Returns the children of this process, zombies included. */
export function ownChildren(): readonly string[] {
  return readdirSync('/proc/self/task').flatMap((task) => read(`/proc/self/task/${task}/children`).split(' ').filter(Boolean));
}

const hierarchies = ['/sys/fs/cgroup', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/pids'];

/** Returns the cgroup directories that sandboxes of one process have created. */
export function sandboxCgroups(pid: number | undefined = process.pid): readonly string[] {
  const own = read('/proc/self/cgroup')
    .split('\n')
    .map((line) => line.split(':')[2] ?? '/');
  const directories = new Set(hierarchies.flatMap((hierarchy) => own.map((path) => `${hierarchy}${path}`.replace(/\/$/, ''))));
  return [...directories]
    .filter((directory) => existsSync(directory))
    .flatMap((directory) =>
      readdirSync(directory)
        .filter((name) => name.startsWith(`nsjs-${pid}-`))
        .map((name) => `${directory}/${name}`),
    );
}

/** Returns the number of open descriptors, after closing those that this process keeps for future sandboxes. */
export function openDescriptors(): number {
  releaseKept();
  return readdirSync('/proc/self/fd').length;
}
export const mountCount = (): number => read('/proc/self/mountinfo').split('\n').length;

/**
 * A keeper exits shortly after its last message. Waits for that, at most a second, and until its descriptors are
 * closed.
 */
export async function keepersGone(): Promise<void> {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
  for (let waited = 0; waited < 1000 && ownChildren().length > 0; waited += 10) await pause();
  await pause();
}
