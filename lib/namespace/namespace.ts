import { closeSync, fstatSync, openSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import { NsError, OptionError, SysError } from '../base/errors';
import { parseHostPath, parseOneOf } from '../base/parse';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { host } from '../host/host';
import { NamespaceSockets } from '../network/inside/sockets';
import { spawnIsolated } from '../run/spawn';
import type { IsolatedProcess, SpawnOptions } from '../run/types';
import { Fd } from '../sys/fd';
import { nsId, nsParent, nsUserns, setns } from '../sys/namespace';
import { pin, unpin } from './bind-mount';
import { type CreateOptions, createNamespaces, type Holder } from './create';
import { inspectNamespace, type NamespaceInfo } from './inspect';
import { type NamespaceReference, referenceTo } from './reference';
import { type NamespaceTarget, namespaceFlags, openTarget, typeOf } from './target';

// Those that one thread of a process can be in alone, without its neighbours noticing.
const perThread: readonly NamespaceType[] = ['net', 'uts', 'ipc'];

/**
 * A namespace, held by a descriptor: it lives at least as long as this is open, namespaces(7).
 * Every method throws NsError ERR_NSJS_CLOSED once it is closed.
 */
export class Namespace<T extends NamespaceType = NamespaceType> extends Fd {
  readonly type: T;
  /** What `readlink /proc/<pid>/ns/<type>` shows. Comes again once the namespace is gone; `id` does not. */
  readonly inode: number;
  private own: NamespaceSockets | undefined;
  private held: Holder | undefined;

  private constructor(fd: number, type: T, held?: Holder) {
    super(fd, `a ${type} namespace`);
    this.type = type;
    this.inode = fstatSync(fd).ino;
    this.held = held;
  }

  /**
   * Opens a namespace that exists. Throws SysError (ESRCH, ENOENT, EACCES, ESTALE for one that is gone), OptionError if it
   * is of another type.
   */
  static open<T extends NamespaceType>(target: NamespaceTarget, type: T): Namespace<T> {
    parseOneOf(type, 'type', namespaceTypes);
    return Namespace.take(openTarget(target, type), type);
  }

  /** Takes a descriptor of a namespace over; `held` is let go with it. Throws OptionError if it is none, or of another type. */
  static take<T extends NamespaceType>(fd: number, type: T, held?: Holder): Namespace<T> {
    const found = typeOf(fd);
    if (found === type) return new Namespace(fd, type, held);
    closeSync(fd);
    throw new OptionError('target', found ? `is a namespace of type '${found}', not '${type}'` : 'is no namespace');
  }

  /**
   * Makes new namespaces, with nothing in them but what the kernel puts there (a loopback interface that is up, the host's
   * mounts). Run by a user a `user` namespace that owns them is made too. `pid` is held by a parked launcher, all others by
   * their descriptors alone. One type gives a Namespace, a list a {@link NamespaceSet}.
   */
  static create<T extends NamespaceType>(type: T, options?: CreateOptions): Promise<Namespace<T>>;
  static create(types: readonly NamespaceType[], options?: CreateOptions): Promise<NamespaceSet>;
  static async create(types: NamespaceType | readonly NamespaceType[], options: CreateOptions = {}): Promise<Namespace | NamespaceSet> {
    const list = typeof types === 'string' ? [types] : types;
    const made = await createNamespaces(list, options);
    const namespaces = made.fds.map(([type, fd]) => Namespace.take(fd, type, type === 'pid' ? made.held : undefined));
    if (typeof types !== 'string') return new NamespaceSet(namespaces);
    for (const one of namespaces) if (one.type !== types) one.close();
    return namespaces.find((one) => one.type === types) as Namespace;
  }

  /** What {@link toJSON} wrote. The same as `open`. */
  static reopen<T extends NamespaceType>(reference: NamespaceReference & { readonly type: T }): Namespace<T> {
    return Namespace.open(reference, reference.type);
  }

  /** Removes what {@link pin} has made; the namespace goes unless something else holds it. Throws SysError: EPERM, EINVAL, ENOENT. */
  static unpin(path: string | URL): void {
    unpin(parseHostPath(path, 'path'));
  }

  /** A number that never comes again while the machine runs; undefined before Linux 6.18. */
  get id(): bigint | undefined {
    try {
      return nsId(this.fd);
    } catch (error) {
      if (error instanceof SysError) return undefined;
      throw error;
    }
  }

  /** What can be known of it: owner, parent, members, id maps. Reads /proc, some milliseconds. */
  inspect(): NamespaceInfo {
    return inspectNamespace(this.fd, this.type, this.inode);
  }

  /** The user namespace that owns it. Throws SysError EPERM if that lies outside of the caller's own. */
  owner(): Namespace<'user'> {
    return Namespace.take(nsUserns(this.fd), 'user');
  }

  /** The parent of a pid or user namespace, null for what has none that the caller may see. */
  parent(): Namespace<T> | null {
    try {
      return Namespace.take(nsParent(this.fd), this.type);
    } catch (error) {
      if (error instanceof SysError && ['EPERM', 'EINVAL'].includes(error.code)) return null;
      throw error;
    }
  }

  /** Whether both are the same namespace. */
  equals(other: Namespace): boolean {
    if (!(other instanceof Namespace)) throw new OptionError('other', 'expected a Namespace', 'ERR_INVALID_ARG_TYPE');
    for (const one of [this, other]) void one.fd;
    return this.inode === other.inode && this.type === other.type;
  }

  /**
   * Runs a program in it, as {@link spawnIsolated}, with every feature of a sandbox: all other namespaces are new unless
   * `options.namespaces` says otherwise. In a `mnt` namespace its tree is the root, unless `options.root` says otherwise. In
   * a `user` namespace the program gets one more below it. In a `pid` namespace that {@link create} has made the launcher that
   * holds it starts the program, with nothing else new; others are refused.
   */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions & { readonly encoding?: 'utf8' }): IsolatedProcess<string>;
  spawn(
    command: string,
    args: readonly string[] | undefined,
    options: SpawnOptions & { readonly encoding: 'buffer' },
  ): IsolatedProcess<Buffer>;
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): IsolatedProcess<string | Buffer>;
  spawn(command: string, args?: readonly string[], options: SpawnOptions = {}): IsolatedProcess<string | Buffer> {
    if (this.held && !this.closed) return this.held.spawn(command, args, options);
    const root = this.type === 'mnt' ? ({ root: 'host', proc: 'off' } as const) : {};
    return spawnIsolated(command, args, { ...root, ...options, namespaces: { ...options.namespaces, [this.type]: this } });
  }

  /**
   * Calls a function with this thread inside: types `net`, `uts` and `ipc`, by a caller with CAP_SYS_ADMIN over it (setns(2)).
   * The thread is back when it returns or throws; it must not be async, and what it starts (sockets, reads of files)
   * stays where it was made. Throws NsError ERR_NSJS_THREAD where a thread of Node can't go: use spawn(), or, for sockets,
   * listen(), connect() and udp().
   */
  run<R>(act: () => R): R {
    if (typeof act !== 'function') throw new OptionError('act', 'expected a function', 'ERR_INVALID_ARG_TYPE');
    void this.fd;
    if (!perThread.includes(this.type)) throw threadError(this.type, undefined);
    const before = openSync(`/proc/thread-self/ns/${this.type}`, 'r');
    try {
      this.enter();
      try {
        return refusePromise(act());
      } finally {
        setns(before, namespaceFlags[this.type]);
      }
    } finally {
      closeSync(before);
    }
  }

  /** Sockets of this process in a `net` namespace: {@link NamespaceSockets}. */
  get net(): NamespaceSockets {
    if (this.type !== 'net') throw new NsError('ERR_NSJS_UNSUPPORTED', `a ${this.type} namespace has no sockets`);
    void this.fd;
    this.own ??= new NamespaceSockets(() => socketNamespaces(this.fd));
    return this.own;
  }

  /** As {@link NamespaceSockets.listen} of `net`. */
  listen(server: Server, port: number, host?: string): Promise<void> {
    return this.net.listen(server, port, host);
  }

  /** As {@link NamespaceSockets.connect} of `net`. */
  connect(port: number, host?: string): Socket {
    return this.net.connect(port, host);
  }

  /** Keeps it at a path until it is unpinned or the machine ends: a bind mount of nsfs, as `ip netns add` makes. Needs CAP_SYS_ADMIN. */
  pin(path: string | URL): void {
    pin(this.fd, parseHostPath(path, 'path'), this.type);
  }

  /** Written down so that it can be opened again in this life of the machine while something keeps it alive. */
  toJSON(): NamespaceReference & { readonly type: T } {
    return referenceTo(this.fd, this.type, this.inode) as NamespaceReference & { readonly type: T };
  }

  /** Lets go of it; closes the sockets that were made in it. */
  override close(): void {
    this.own?.close();
    super.close();
    const { held } = this;
    this.held = undefined;
    void held?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { held } = this;
    this.close();
    await held?.[Symbol.asyncDispose]();
  }

  private enter(): void {
    try {
      setns(this.fd, namespaceFlags[this.type]);
    } catch (error) {
      if (error instanceof SysError && error.code === 'EPERM') throw threadError(this.type, error);
      throw error;
    }
  }
}

// A user has rights in a network namespace only by way of the user namespace that owns it.
function socketNamespaces(netFd: number): { readonly netFd: number; readonly userFd?: number } {
  if (host().privileged) return { netFd };
  using owner = new Fd(nsUserns(netFd));
  using self = Namespace.open('self', 'user');
  return fstatSync(owner.fd).ino === self.inode ? { netFd } : { netFd, userFd: keepUntilNextTurn(owner.release()) };
}

function keepUntilNextTurn(fd: number): number {
  setImmediate(() => closeSync(fd));
  return fd;
}

function refusePromise<R>(value: R): R {
  if (typeof value !== 'object' || value === null || typeof (value as { then?: unknown }).then !== 'function') return value;
  (value as unknown as PromiseLike<unknown>).then(undefined, () => {});
  throw new OptionError('act', 'must not be async: the thread is back before the promise settles', 'ERR_INVALID_ARG_TYPE');
}

function threadError(type: NamespaceType, cause: unknown): NsError {
  const sockets = type === 'net' ? '; for sockets use net.listen(), net.connect() and net.udp()' : '';
  const why = cause === undefined ? 'its threads share what goes with it' : 'the caller has no CAP_SYS_ADMIN over it';
  return new NsError('ERR_NSJS_THREAD', `a thread of Node cannot enter a ${type} namespace: ${why}`, {
    hint: `run a program in it with spawn()${sockets}`,
    cause,
  });
}

/** Several namespaces at once, by type. */
export class NamespaceSet {
  constructor(private readonly list: readonly Namespace[]) {}

  /** The one of a type. Throws NsError ERR_NSJS_UNSUPPORTED if it is not among them. */
  get<T extends NamespaceType>(type: T): Namespace<T> {
    const found = this.list.find((one) => one.type === type);
    if (!found) throw new NsError('ERR_NSJS_UNSUPPORTED', `there is no ${type} namespace in this set`);
    return found as Namespace<T>;
  }

  [Symbol.iterator](): Iterator<Namespace> {
    return this.list[Symbol.iterator]();
  }

  /**
   * Runs a program in all of them, as {@link Namespace.spawn}: with a new user namespace below the one of the set, which is
   * entered first. A set with a `pid` namespace that was made with it starts the program there, in the others as they are.
   */
  spawn(command: string, args?: readonly string[], options?: SpawnOptions & { readonly encoding?: 'utf8' }): IsolatedProcess<string>;
  spawn(
    command: string,
    args: readonly string[] | undefined,
    options: SpawnOptions & { readonly encoding: 'buffer' },
  ): IsolatedProcess<Buffer>;
  spawn(command: string, args?: readonly string[], options?: SpawnOptions): IsolatedProcess<string | Buffer>;
  spawn(command: string, args?: readonly string[], options: SpawnOptions = {}): IsolatedProcess<string | Buffer> {
    const pid = this.list.find(({ type }) => type === 'pid');
    if (pid) return pid.spawn(command, args, options);
    const joined = this.list.filter(({ type }) => type !== 'user').map((one) => [one.type, one]);
    const root = this.list.some(({ type }) => type === 'mnt') ? ({ root: 'host', proc: 'off' } as const) : {};
    return spawnIsolated(command, args, { ...root, ...options, namespaces: { ...options.namespaces, ...Object.fromEntries(joined) } });
  }

  /** Lets go of all. */
  close(): void {
    for (const one of this.list) one.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.list) await one[Symbol.asyncDispose]();
  }
}
