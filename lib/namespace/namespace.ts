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

// Types that a single thread can enter without affecting the other threads of the process.
const perThread: readonly NamespaceType[] = ['net', 'uts', 'ipc'];

/**
 * A namespace, held by a descriptor, namespaces(7). The namespace exists at least as long as this object is open.
 * Every method throws NsError ERR_NSJS_CLOSED after it is closed.
 */
export class Namespace<T extends NamespaceType = NamespaceType> extends Fd {
  readonly type: T;
  /**
   * Inode number, as in the target of the link /proc/<pid>/ns/<type>. Reused after the namespace is gone, unlike `id`.
   */
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
   * Opens an existing namespace. Throws SysError (ESRCH, ENOENT, EACCES, ESTALE if it no longer exists), OptionError if
   * it is of another type.
   */
  static open<T extends NamespaceType>(target: NamespaceTarget, type: T): Namespace<T> {
    parseOneOf(type, 'type', namespaceTypes);
    return Namespace.take(openTarget(target, type), type);
  }

  /**
   * Takes ownership of a descriptor, and of `held`. Throws OptionError if it is not of a namespace, or of another type.
   *
   * @internal
   */
  static take<T extends NamespaceType>(fd: number, type: T, held?: Holder): Namespace<T> {
    const found = typeOf(fd);
    if (found === type) return new Namespace(fd, type, held);
    closeSync(fd);
    throw new OptionError('target', found ? `is a namespace of type '${found}', not '${type}'` : 'is not a namespace');
  }

  /**
   * Creates new namespaces with only their initial content (a loopback interface that is up, a copy of the host's
   * mounts). If the caller is an unprivileged user, a `user` namespace that owns them is created too. A parked launcher
   * keeps a `pid` namespace alive; descriptors alone keep all others alive. One type returns a Namespace, a list
   * returns a {@link NamespaceSet}.
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

  /** Opens a namespace by the result of {@link toJSON}. Equivalent to {@link open} with its type. */
  static reopen<T extends NamespaceType>(reference: NamespaceReference & { readonly type: T }): Namespace<T> {
    return Namespace.open(reference, reference.type);
  }

  /**
   * Undoes {@link pin}. The namespace ends unless something else keeps it alive. Throws SysError: EPERM, EINVAL,
   * ENOENT.
   */
  static unpin(path: string | URL): void {
    unpin(parseHostPath(path, 'path'));
  }

  /** Unique id, not reused until the machine reboots. Undefined before Linux 6.18. */
  get id(): bigint | undefined {
    try {
      return nsId(this.fd);
    } catch (error) {
      if (error instanceof SysError) return undefined;
      throw error;
    }
  }

  /** Returns its owner, parent, members and id maps. Reads /proc, which takes a few milliseconds. */
  inspect(): NamespaceInfo {
    return inspectNamespace(this.fd, this.type, this.inode);
  }

  /** Opens the user namespace that owns it. Throws SysError EPERM if that is outside of the caller's user namespace. */
  owner(): Namespace<'user'> {
    return Namespace.take(nsUserns(this.fd), 'user');
  }

  /** Opens the parent of a pid or user namespace. Null for other types, and if the caller may not see the parent. */
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
   * Runs a program in this namespace, as {@link spawnIsolated}, with every feature of a sandbox. All other namespaces
   * are new unless `options.namespaces` sets them. In a `mnt` namespace the root is that of the namespace unless
   * `options.root` is set. In a `user` namespace the program gets another user namespace below it. In a `pid` namespace
   * that {@link create} made, the launcher that holds it starts the program, in no other new namespaces. Other `pid`
   * namespaces are refused.
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
   * Calls a function while the calling thread is in this namespace (setns(2)). Works for the types `net`, `uts` and
   * `ipc`, and needs CAP_SYS_ADMIN over the namespace. The thread leaves the namespace when the function returns or
   * throws. The function must not be async. Sockets and file reads that it starts stay in the namespace in which they
   * were created. Throws NsError ERR_NSJS_THREAD if a thread of Node cannot enter the namespace: then use spawn(), or,
   * for sockets, listen(), connect() and net.udp().
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

  /** Sockets of this process in a `net` namespace, see {@link NamespaceSockets}. */
  get net(): NamespaceSockets {
    if (this.type !== 'net') throw new NsError('ERR_NSJS_UNSUPPORTED', `a ${this.type} namespace has no sockets`);
    void this.fd;
    this.own ??= new NamespaceSockets(() => socketNamespaces(this.fd));
    return this.own;
  }

  /** Calls {@link NamespaceSockets.listen} of `net`. */
  listen(server: Server, port: number, host?: string): Promise<void> {
    return this.net.listen(server, port, host);
  }

  /** Calls {@link NamespaceSockets.connect} of `net`. */
  connect(port: number, host?: string): Socket {
    return this.net.connect(port, host);
  }

  /**
   * Keeps the namespace alive at a path until it is unpinned or the machine shuts down, by a bind mount of nsfs as
   * `ip netns add` makes. Needs CAP_SYS_ADMIN.
   */
  pin(path: string | URL): void {
    pin(this.fd, parseHostPath(path, 'path'), this.type);
  }

  /**
   * Returns a reference as JSON that can be opened again until the machine reboots, while something keeps the namespace
   * alive.
   */
  toJSON(): NamespaceReference & { readonly type: T } {
    return referenceTo(this.fd, this.type, this.inode) as NamespaceReference & { readonly type: T };
  }

  /**
   * Closes the descriptor, the sockets that were created with {@link net}, and the launcher that holds a `pid`
   * namespace.
   */
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

// An unprivileged user gets capabilities over a network namespace only by entering the user namespace that owns it.
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
  throw new OptionError('act', 'must not be async: the thread leaves the namespace before the promise settles', 'ERR_INVALID_ARG_TYPE');
}

function threadError(type: NamespaceType, cause: unknown): NsError {
  const sockets = type === 'net' ? '; for sockets use net.listen(), net.connect() and net.udp()' : '';
  const why =
    cause === undefined ? 'all threads of a process share the state that depends on it' : 'the caller has no CAP_SYS_ADMIN over it';
  return new NsError('ERR_NSJS_THREAD', `a thread of Node cannot enter a ${type} namespace: ${why}`, {
    hint: `run a program in it with spawn()${sockets}`,
    cause,
  });
}

/** Several namespaces, one per type. */
export class NamespaceSet {
  constructor(private readonly list: readonly Namespace[]) {}

  /** Returns the namespace of a type. Throws NsError ERR_NSJS_UNSUPPORTED if the set has none of that type. */
  get<T extends NamespaceType>(type: T): Namespace<T> {
    const found = this.list.find((one) => one.type === type);
    if (!found) throw new NsError('ERR_NSJS_UNSUPPORTED', `there is no ${type} namespace in this set`);
    return found as Namespace<T>;
  }

  [Symbol.iterator](): Iterator<Namespace> {
    return this.list[Symbol.iterator]();
  }

  /**
   * Runs a program in all namespaces of the set, as {@link Namespace.spawn}. The program enters the user namespace of
   * the set first, and gets a new one below it. If {@link Namespace.create} made the set with a `pid` namespace, the
   * launcher that holds it starts the program, in all namespaces of the set as they are.
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

  /** Closes all namespaces of the set. */
  close(): void {
    for (const one of this.list) one.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.list) await one[Symbol.asyncDispose]();
  }
}
