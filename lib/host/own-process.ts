import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { monotonic } from '../base/clock';
import { ownChanges } from '../sys/call';
import { RLIMIT } from '../sys/constants';
import { capget } from '../sys/cred';
import { getrlimit } from '../sys/limits';

/** Limits that cap those of presets. */
const limits = {
  core: RLIMIT.CORE,
  nofile: RLIMIT.NOFILE,
  memlock: RLIMIT.MEMLOCK,
  msgqueue: RLIMIT.MSGQUEUE,
  sigpending: RLIMIT.SIGPENDING,
};

/** Returns the hard limits of this process, by name. Unlimited ones are omitted. */
export const readHardLimits = (): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(limits)
      .map(([name, resource]) => [name, getrlimit(resource).hard] as const)
      .filter(([, hard]) => hard !== Number.POSITIVE_INFINITY),
  );

const freshMs = 1000;
let known = { text: '', ids: '', changes: -1, at: Number.NEGATIVE_INFINITY };

/**
 * Returns the state of this process as one string: ids, capabilities, limits, root directory, namespaces, cgroups and
 * executable. Everything that nsjs caches about this process is valid while this string is the same. It is read again
 * after a change of ids, after a change by nsjs/sys, and after a second, because other processes can change it too.
 */
export function ownProcess(): string {
  const [own, now, changes] = [ids(), monotonic(), ownChanges()];
  if (known.ids === own && known.changes === changes && now - known.at < freshMs) return known.text;
  const text = [own, capget().effective, JSON.stringify(readHardLimits()), ...places.map(attempt)].join(' ');
  known = { text, ids: own, changes, at: now };
  return text;
}

/** Returns only the ids of this process, which takes almost no time. */
export const ids = (): string => `${process.geteuid?.()}:${process.getegid?.()}:${process.getgroups?.()}`;

const places: readonly (() => unknown)[] = [
  () => fileId('/'),
  () => fileId(process.execPath),
  () => readlinkSync('/proc/self/ns/user'),
  () => readlinkSync('/proc/self/ns/mnt'),
  () => readFileSync('/proc/self/cgroup', 'latin1'),
];

function fileId(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}

// Without /proc, as in some chroots, the state cannot be read and counts as unchanged.
function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return undefined;
  }
}
