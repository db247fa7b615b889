import { clearTimeout, setTimeout } from 'node:timers';
import { debuglog } from 'node:util';
import { monotonic } from '../base/clock';
import { errnos } from '../base/errnos';
import { onRelease } from '../base/kept';
import { callNumber } from '../features/hardening';
import { cloneFlags } from '../features/namespaces';
import { areSameFiles, type FileIds, identify, KnownFiles } from '../host/file-ids';
import { channel, native, stdioKind } from '../native/addon';
import { lastSlot, PlanWriter, type RootRecipe } from '../plan/writer';
import { close, openat2 } from '../sys/file';
import { closeLauncher, openLauncher } from './image';
import { Outcome } from './outcome';
import { Session } from './session';

const debug = debuglog('nsjs');

const idleMs = 10_000;
// Delay between two attempts, because following mounts that change all the time is not worth its cost.
const pauseMs = 1000;
const makeMs = 1000;
const timerMs = 50;
const maxRoots = 4;
// Limits the recipes remembered; most are used only once.
const maxRecipes = 16;
const cwd = -100; // AT_FDCWD
const readOnly = 0o2000000; // O_RDONLY | O_CLOEXEC
const pollIn = 1;
const pollPriority = 2;

/** State of one recipe; `fd` is set while its root exists. */
interface SharedRoot {
  fd: number | undefined;
  sources: KnownFiles | undefined;
  usedAt: number;
  /** The root is not made before this time. */
  makeAt: number;
}

/** The mount table of the host, and the mount namespace and root directory of this thread when it was opened. */
interface Watch {
  readonly fd: number;
  readonly seenFrom: FileIds;
}

/**
 * Roots that sandboxes with the same options share: each sandbox starts from a copy of a mount namespace that contains
 * the root. A root is made when its recipe is used again within 10 seconds. It is dropped when it has not been used for
 * 10 seconds, because it keeps mounts of the host busy, or when its sources have changed on the host. Each thread has
 * its own roots.
 */
class SharedRoots {
  // Ordered by last use, the most recent last.
  private readonly roots = new Map<string, SharedRoot>();
  private watch: Watch | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** Returns a mount namespace that contains the root, or undefined if there is none. The caller must not close it. */
  find(recipe: RootRecipe, launcherPath: string | undefined): number | undefined {
    const now = monotonic();
    if (this.hasChanged()) this.dropAll();
    const root = this.roots.get(recipe.key) ?? this.add(recipe.key);
    const isSoon = now - root.usedAt < idleMs;
    root.usedAt = now;
    this.roots.delete(recipe.key);
    this.roots.set(recipe.key, root);
    if (root.sources && !root.sources.areSame()) this.drop(root);
    if (root.fd === undefined && isSoon && now > root.makeAt && this.hasRoom()) this.make(root, recipe, launcherPath);
    this.timer ??= setTimeout(() => this.sweep(), idleMs + timerMs).unref();
    return root.fd;
  }

  /** Drops all roots. Returns whether there was anything to drop. */
  clear(): boolean {
    const had = this.watch !== undefined;
    this.dropAll();
    this.roots.clear();
    clearTimeout(this.timer);
    this.timer = undefined;
    return had;
  }

  private add(key: string): SharedRoot {
    const [oldest] = this.roots;
    if (oldest && this.roots.size === maxRecipes) this.forget(...oldest);
    const never = Number.NEGATIVE_INFINITY;
    const root = { fd: undefined, sources: undefined, usedAt: never, makeAt: never };
    this.roots.set(key, root);
    return root;
  }

  private hasRoom(): boolean {
    let made = 0;
    for (const { fd } of this.roots.values()) if (fd !== undefined) made++;
    return made < maxRoots;
  }

  private make(root: SharedRoot, recipe: RootRecipe, launcherPath: string | undefined): void {
    try {
      this.watch ??= openWatch();
      root.sources = new KnownFiles(recipe.sources.filter(({ name }) => name === 'OpenTree').map(({ args }) => String(args[2])));
      root.fd = kept(makeRoot(recipe, launcherPath));
      root.makeAt = monotonic() + pauseMs;
    } catch (error) {
      // Sandboxes make their own roots instead.
      root.makeAt = monotonic() + idleMs;
      debug('no shared root: %s', (error as Error).message);
    }
  }

  // Whether any mount of the host has changed (proc_pid_mountinfo(5)), or this thread now sees another mount namespace
  // or root directory.
  private hasChanged(): boolean {
    const { watch } = this;
    return watch !== undefined && (native().poll(Int32Array.of((watch.fd << 3) | pollPriority), 0) > 0 || !areSameFiles(watch.seenFrom));
  }

  private drop(root: SharedRoot): void {
    if (root.fd !== undefined) native().dropFd(root.fd);
    root.fd = undefined;
    root.sources = undefined;
  }

  private dropAll(): void {
    for (const root of this.roots.values()) this.drop(root);
    if (this.watch) native().dropFd(this.watch.fd);
    this.watch = undefined;
  }

  private forget(key: string, root: SharedRoot): void {
    this.drop(root);
    this.roots.delete(key);
  }

  private sweep(): void {
    this.timer = undefined;
    const now = monotonic();
    for (const [key, root] of this.roots) if (now - root.usedAt >= idleMs) this.forget(key, root);
    const [oldest] = this.roots.values();
    if (oldest) this.timer = setTimeout(() => this.sweep(), oldest.usedAt + idleMs + timerMs - now).unref();
    else this.clear();
  }
}

const roots = new SharedRoots();

/** See {@link SharedRoots.find}. */
export const sharedRoot = (recipe: RootRecipe, launcherPath: string | undefined): number | undefined => roots.find(recipe, launcherPath);

onRelease(() => roots.clear());

// Opens the file of this thread, which may be in another mount namespace than the other threads.
function openWatch(): Watch {
  const fd = kept(openat2(cwd, '/proc/thread-self/mountinfo', { flags: readOnly }));
  return { fd, seenFrom: identify(['/proc/thread-self/ns/mnt', '/']) };
}

// Keeps a descriptor until it is dropped or this thread ends.
function kept(fd: number): number {
  if (native().keepFd(fd)) return fd;
  close(fd);
  throw new Error('too many descriptors are kept');
}

// Blocks for some milliseconds: a launcher that is not waited for would be visible as a child of this process.
function makeRoot(recipe: RootRecipe, launcherPath: string | undefined): number {
  const launcher = launcherPath === undefined ? -1 : openLauncher(launcherPath);
  try {
    const plan = rootPlan(recipe);
    const outcome = new Outcome(plan, []);
    const fd = receiveRoot(new Session(plan, launcher, undefined), outcome);
    if (fd === undefined) throw outcome.failure ?? new Error('the launcher did not answer');
    return fd;
  } finally {
    closeLauncher(launcher);
  }
}

function receiveRoot(session: Session, outcome: Outcome): number | undefined {
  if (!hasEnded(session)) {
    session.watch((which) => which === channel.keeperEnd && session.close());
    session.abandon();
    return undefined;
  }
  let made: number | undefined;
  for (const { record, fds } of session.messages(channel.control)) {
    outcome.feed(record);
    [made = made] = fds;
  }
  session.close();
  return made;
}

function hasEnded(session: Session): boolean {
  const latest = monotonic() + makeMs;
  for (;;) {
    const entries = Int32Array.of((session.fd(channel.keeperEnd) << 3) | pollIn);
    const ready = native().poll(entries, Math.max(0, Math.ceil(latest - monotonic())));
    if (ready !== -errnos.EINTR) return ready > 0;
  }
}

const remountReadonly = 0x20 | 0x1 | 0x2 | 0x4; // MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV

function rootPlan({ sources, build }: RootRecipe): PlanWriter {
  const plan = new PlanWriter();
  const empty = plan.pass('root', stdioKind.emptyMounts);
  const procfs = plan.pass('root', stdioKind.procfs);
  plan.ops.host.push(...sources);
  plan.op('host', 'root', 'SetNs', empty, cloneFlags.mnt);
  plan.op('host', 'root', 'Unshare', cloneFlags.mnt);
  plan.ops.host.push(...build);
  // Also makes the file system itself read-only, in case its mounts are changed. `/..` resolves to the mount on top of
  // the root directory.
  plan.op('host', 'root', 'CallWith', callNumber('mount'), 1, '/..', 0, 0, remountReadonly, 0);
  plan.op('host', 'root', 'OpenOwn', lastSlot, procfs, 'self/ns/mnt');
  plan.op('host', 'root', 'SendFd', lastSlot, 0);
  return plan;
}
