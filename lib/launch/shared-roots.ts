import { debuglog } from 'node:util';
import { cloneFlags } from '../features/namespaces';
import { channel, native, stdioKind } from '../native';
import { lastSlot, PlanWriter, type RootRecipe } from '../plan/writer';
import { close, openat2 } from '../sys/file';
import { closeLauncher, openLauncher } from './launcher';
import { Outcome } from './outcome';
import { Session } from './session';

const debug = debuglog('nsjs');

const idleMs = 10_000;
// Where the host's mounts change all the time it is not worth it to follow them.
const pauseMs = 1000;
const makeMs = 1000;
const timerMs = 50;
const maxRoots = 4;
// Most of what comes once comes never again.
const maxRecipes = 16;
const cwd = -100; // AT_FDCWD
const readOnly = 0o2000000; // O_RDONLY | O_CLOEXEC
const pollIn = 1;
const pollPriority = 2;

/** Paths of the host, that end with zeros, and which files they lead to: device and inode of each. */
interface Sources {
  readonly paths: Uint8Array;
  readonly ids: BigUint64Array;
}

/** What is known of one recipe; `fd` is there while there is a root. */
interface SharedRoot {
  fd: number | undefined;
  sources: Sources | undefined;
  generation: number;
  usedAt: number;
  madeAt: number;
  failed: boolean;
}

/**
 * Roots that sandboxes with the same options share: each starts from a copy of a mount namespace that has one. Made when a recipe comes
 * again soon; dropped when it has not been used for a while (what is mounted on the host stays in use as long), or when what it was made of
 * has changed on the host. Each thread has its own.
 */
class SharedRoots {
  // The one that was used last is the last.
  private readonly roots = new Map<string, SharedRoot>();
  private generation = 0;
  private watched: number | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** A mount namespace in which the root is there; undefined if there is none. Not the caller's to close. */
  find(recipe: RootRecipe, launcherPath: string | undefined): number | undefined {
    const now = performance.now();
    const root = this.roots.get(recipe.key) ?? this.add(recipe.key);
    const isSoon = now - root.usedAt < idleMs;
    root.usedAt = now;
    this.roots.delete(recipe.key);
    this.roots.set(recipe.key, root);
    this.look();
    if (root.fd !== undefined && !this.isFresh(root)) this.drop(root);
    if (root.fd === undefined && isSoon && !root.failed && now - root.madeAt > pauseMs) this.make(root, recipe, launcherPath);
    this.arm();
    return root.fd;
  }

  private add(key: string): SharedRoot {
    const [oldest] = this.roots;
    if (oldest && this.roots.size === maxRecipes) this.forget(...oldest);
    const never = Number.NEGATIVE_INFINITY;
    const root = { fd: undefined, sources: undefined, generation: 0, usedAt: never, madeAt: never, failed: false };
    this.roots.set(key, root);
    return root;
  }

  private make(root: SharedRoot, recipe: RootRecipe, launcherPath: string | undefined): void {
    root.madeAt = performance.now();
    const [oldest, ...others] = [...this.roots.values()].filter(({ fd }) => fd !== undefined);
    if (oldest && others.length + 1 === maxRoots) this.drop(oldest);
    try {
      this.watched ??= kept(openat2(cwd, '/proc/self/mountinfo', { flags: readOnly }));
      root.generation = this.generation;
      root.sources = sourcesOf(recipe);
      root.fd = kept(makeRoot(recipe, launcherPath));
    } catch (error) {
      // Sandboxes make their own.
      root.failed = true;
      debug('no shared root: %s', (error as Error).message);
    }
  }

  // Whether what is mounted on the host has changed, anywhere (proc_pid_mountinfo(5)).
  private look(): void {
    if (this.watched === undefined) return;
    if (native().poll(Int32Array.of((this.watched << 3) | pollPriority), 0) > 0) this.generation++;
  }

  private isFresh({ sources, generation }: SharedRoot): boolean {
    return generation === this.generation && sources !== undefined && areSame(sources);
  }

  private drop(root: SharedRoot): void {
    if (root.fd !== undefined) native().dropFd(root.fd);
    root.fd = undefined;
  }

  private forget(key: string, root: SharedRoot): void {
    this.drop(root);
    this.roots.delete(key);
  }

  /** All of them are given back. */
  clear(): void {
    for (const [key, root] of this.roots) this.forget(key, root);
    if (this.watched !== undefined) native().dropFd(this.watched);
    this.watched = undefined;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(): void {
    if (this.timer) this.timer.refresh();
    else this.timer = setTimeout(() => this.sweep(), idleMs).unref();
  }

  private sweep(): void {
    this.timer = undefined;
    // A timer can be a moment early.
    const latest = performance.now() - idleMs + timerMs;
    for (const [key, root] of this.roots) if (root.usedAt <= latest) this.forget(key, root);
    if (this.roots.size > 0) this.arm();
    else this.clear();
  }
}

const roots = new SharedRoots();

/** Gives all of them back at once. */
export const dropSharedRoots = (): void => roots.clear();

/** See {@link SharedRoots.find}. */
export const sharedRoot = (recipe: RootRecipe, launcherPath: string | undefined): number | undefined => roots.find(recipe, launcherPath);

// Until it is dropped, or this thread ends.
function kept(fd: number): number {
  if (native().keepFd(fd)) return fd;
  close(fd);
  throw new Error('too many descriptors are kept');
}

function sourcesOf({ sources }: RootRecipe): Sources {
  const named = sources.filter(({ name }) => name === 'OpenTree').map(({ args }) => String(args[2]));
  const paths = ['/proc/self/ns/mnt', '/', ...named];
  const made = { paths: Buffer.from(`${paths.join('\0')}\0`), ids: new BigUint64Array(2 * paths.length) };
  native().fileIds(made.paths, made.ids);
  return made;
}

function areSame({ paths, ids }: Sources): boolean {
  const found = new BigUint64Array(ids.length);
  native().fileIds(paths, found);
  return Buffer.from(found.buffer).equals(Buffer.from(ids.buffer));
}

// Blocks: it is a matter of some ms, and what is not waited for could be seen as a child of this process.
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
  const entries = Int32Array.of((session.fd(channel.keeperEnd) << 3) | pollIn);
  if (native().poll(entries, makeMs) <= 0) {
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

function rootPlan({ sources, build }: RootRecipe): PlanWriter {
  const plan = new PlanWriter();
  const empty = plan.pass('root', stdioKind.emptyMounts);
  const procfs = plan.pass('root', stdioKind.procfs);
  plan.ops.host.push(...sources);
  plan.op('host', 'root', 'SetNs', empty, cloneFlags.mnt);
  plan.op('host', 'root', 'Unshare', cloneFlags.mnt);
  plan.ops.host.push(...build);
  plan.op('host', 'root', 'OpenOwn', lastSlot, procfs, 'self/ns/mnt');
  plan.op('host', 'root', 'SendFd', lastSlot, 0);
  return plan;
}
