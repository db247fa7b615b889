import { NsError, SysError } from '../base/errors';
import { parseInteger, parseObject, parseOneOf, parseSignal } from '../base/parse';
import type { SandboxOptions } from '../features';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import type { PastaSpec } from '../features/pasta';
import type { Mount } from '../features/root/mounts';
import { directoryFd } from '../features/root/root';
import type { OverlayChanges } from '../fs/overlay';
import { Root } from '../fs/root';
import { SandboxFs } from '../fs/sandbox-fs';
import { closedError } from '../launcher/session';
import { Namespace } from '../namespace/namespace';
import { NamespaceSockets } from '../network/inside/sockets';
import { type ProgramOptions, parseProgramOptions } from '../options/options';
import { parseSandboxOptions } from '../options/spec';
import { makeReport, type Report } from '../report/report';
import { handle } from '../run/isolated-process';
import type { IsolatedProcess } from '../run/types';
import { networkOwner, openRuntime } from '../runtime/open';
import type { Opened, Runtime } from '../runtime/runtime';
import { dup } from '../sys/file';
import { pidFromPidns, pidInPidns } from '../sys/namespace';
import { SandboxBuilder } from './builder';
import { mountInto } from './mount';
import { overlayChanges } from './overlay';
import { startPasta } from './pasta';
import { sharePins } from './pins';
import { liveSandboxes, SandboxResources } from './resources';
import { type SelfTestResult, selfTest } from './self-test';

/** Options of {@link Sandbox.open}, in addition to those of the sandbox itself. */
export interface OpenOptions {
  /** Closes the sandbox when it is aborted, both while the sandbox opens and later. */
  readonly signal?: AbortSignal;
}

/**
 * A long-lived sandbox. Its init starts programs in it, one after the other or at the same time, so that no process
 * ever enters it from outside. All of it ends with close(), with this process, or with its launcher, even if they are
 * killed.
 */
export class Sandbox extends SandboxResources {
  /** The controls that are in force. */
  readonly report: Report;
  /** The options given to open(). */
  readonly options: SandboxOptions;
  /** Access to the sandbox's files for this process. Methods reject with ERR_NSJS_CLOSED once the sandbox is closed. */
  readonly fs: SandboxFs;
  /** Sockets of this process in the sandbox's network namespace; closed with the sandbox. */
  readonly net: NamespaceSockets;

  private constructor(
    builder: SandboxBuilder,
    runtime: Runtime,
    private readonly opened: Opened,
  ) {
    super(runtime.groupName ?? `nsjs-${process.pid}-${opened.record.namespaces.mnt}`, runtime);
    this.options = builder.options;
    this.report = makeReport(runtime.spec, runtime.context, opened.record, runtime.outcome);
    const { namespaces } = opened;
    const owner = networkOwner(runtime, namespaces.user);
    this.net = new NamespaceSockets(() => {
      if (this.closed) throw closedError();
      return { netFd: namespaces.net, ...owner };
    });
    this.fs = new SandboxFs(() => this.directory(directoryFd.root));
    void runtime.ended.then(() => this.net.close());
  }

  /** The sandbox in which pasta(1) runs, with `network.pasta`. */
  private pasta: Runtime | undefined;

  private async attachPasta(spec: PastaSpec, signal: AbortSignal | undefined): Promise<void> {
    try {
      const pasta = await startPasta(spec, this.net.namespaces, signal);
      this.pasta = pasta;
      void this.runtime.ended.then(() => pasta.close());
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  private directory(what: number): Root {
    if (this.closed) throw closedError();
    const fd = this.opened.directories.get(what);
    if (fd === undefined)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'a sandbox in the mount namespace of the host has no files of its own', {
        hint: 'open it with a new mount namespace',
      });
    const { context } = this.runtime;
    // If there are several host ids, the first one is root inside.
    return new Root(fd, context.hostId === undefined ? undefined : { uid: context.hostId, gid: context.hostId });
  }

  /** Returns the open sandboxes of this process. */
  static list(): readonly Sandbox[] {
    return liveSandboxes() as readonly Sandbox[];
  }

  /** Returns options as a value that can be changed and opened later. Throws OptionError or OptionRangeError. */
  static define(options: SandboxOptions = {}): SandboxBuilder {
    return new SandboxBuilder(options);
  }

  /**
   * Sets up a sandbox and starts no program. Throws OptionError or OptionRangeError synchronously for invalid options.
   * The promise rejects with a SysError if the kernel refused a step, and with an AbortError if `signal` was aborted.
   * Requires Linux 5.12 or later.
   */
  static open(options: SandboxOptions | SandboxBuilder = {}, opening: OpenOptions = {}): Promise<Sandbox> {
    const given = parseObject(opening, '', ['signal']).signal;
    const signal = given === undefined ? undefined : parseSignal(given);
    const builder = options instanceof SandboxBuilder ? options : new SandboxBuilder(options);
    const spec = parseSandboxOptions(builder.options);
    return openRuntime(spec, signal).then(async ({ runtime, opened }) => {
      await sharePins(runtime, opened).catch((error) => runtime.close().then(() => Promise.reject(error)));
      const sandbox = new Sandbox(builder, runtime, opened);
      if (typeof spec.network === 'object' && spec.network.pasta) await sandbox.attachPasta(spec.network.pasta, signal);
      return sandbox;
    });
  }

  /** True once the sandbox is closed or has ended by itself. */
  get closed(): boolean {
    return !this.runtime.usable;
  }

  /**
   * Starts a program in the sandbox, as {@link spawnIsolated} does with the options of a run. The sandbox's options
   * `env`, `cwd`, `argv0`, `umask`, `rlimits` and per-process `limits` can be changed for one program.
   * SIGKILL, `timeout` and abort end the program and the processes that it has started (see `killTree`). Processes left
   * running by a program that exited by itself go on until the sandbox is closed. Rejects with ERR_NSJS_CLOSED once the
   * sandbox is closed.
   */
  spawn(command: string, args?: readonly string[], options?: ProgramOptions & { readonly encoding?: 'utf8' }): IsolatedProcess<string>;
  spawn(
    command: string,
    args: readonly string[] | undefined,
    options: ProgramOptions & { readonly encoding: 'buffer' },
  ): IsolatedProcess<Buffer>;
  spawn(command: string, args?: readonly string[], options?: ProgramOptions): IsolatedProcess<string | Buffer>;
  spawn(command: string, args?: readonly string[], options: ProgramOptions = {}): IsolatedProcess<string | Buffer> {
    const parsed = parseProgramOptions({ options: this.options, spec: this.runtime.spec }, command, args, options);
    return handle(parsed, (ready, events) => this.runtime.spawn(ready, events));
  }

  /**
   * Returns one of the sandbox's namespaces, to be shared with another sandbox, entered or inspected; the caller closes
   * it. Type `user` returns the outer user namespace, which owns the others. Throws NsError ERR_NSJS_CLOSED once the
   * sandbox is closed.
   */
  namespace<T extends NamespaceType>(type: T): Namespace<T> {
    parseOneOf(type, 'type', namespaceTypes);
    if (this.closed) throw closedError();
    return Namespace.take(dup(this.opened.namespaces[type]), type);
  }

  /**
   * Mounts something into the running sandbox: `tmpfs`, a {@link MountTree}, or, if root runs nsjs, `bind`. The target
   * must exist or lie in a writable directory. Rejects with a SysError if the kernel refuses, with an OptionError for
   * other types, and with NsError ERR_NSJS_CLOSED once the sandbox is closed.
   */
  async mount(mount: Mount): Promise<void> {
    if (this.closed) throw closedError();
    await mountInto(this.runtime, this.opened, mount);
  }

  /**
   * Returns the changes made in an overlay: that of `root`, or one of `mounts` by its target. Throws NsError
   * ERR_NSJS_CLOSED once the sandbox is closed, and OptionError if there is no overlay.
   */
  overlay(target = '/'): OverlayChanges {
    return overlayChanges(
      target,
      this.runtime,
      (what) => this.directory(what),
      () => this.close(),
    );
  }

  /**
   * Translates pids of the sandbox's processes: `outside(pid)` returns the pid outside, `inside(pid)` the pid inside.
   * Both return undefined for a process that does not exist or is not in the sandbox. Requires Linux 6.11.
   */
  get pids(): { outside(pid: number): number | undefined; inside(pid: number): number | undefined } {
    if (this.closed) throw closedError();
    const { pid: fd } = this.opened.namespaces;
    return {
      outside: (pid) => attemptPid(pid, (number) => pidFromPidns(fd, number)),
      inside: (pid) => attemptPid(pid, (number) => pidInPidns(fd, number)),
    };
  }

  /**
   * Makes a fixed list of escape attempts in a process that is confined like the sandbox's programs, and returns the
   * kernel's answers. It needs no program inside and changes nothing. Attempts that the options allow (a preset such as
   * `container`) are reported as not blocked.
   */
  selfTest(): Promise<readonly SelfTestResult[]> {
    return this.closed ? Promise.reject(closedError()) : selfTest({ options: this.options, runtime: this.runtime });
  }

  /** Returns the sandbox's options with others applied on top, as a value: {@link SandboxBuilder.with}. */
  with(options: SandboxOptions): SandboxBuilder {
    return new SandboxBuilder(this.options).with(options);
  }

  /**
   * Stops every process of the sandbox; settles when none runs any more. Uses the freezer of a cgroup (version 2 or 1),
   * or, if none can be made, SIGSTOP, which programs can notice; `report.freezer` shows which. Programs spawned in the
   * meantime start with resume(). Rejects with ERR_NSJS_CLOSED once the sandbox is closed.
   */
  pause(): Promise<void> {
    return this.runtime.setPaused(true);
  }

  /** Resumes the processes that pause() stopped. */
  resume(): Promise<void> {
    return this.runtime.setPaused(false);
  }

  /**
   * Kills every process of the sandbox; settles when everything of it is gone. The same as close() without a grace
   * period.
   */
  kill(): Promise<void> {
    this.net.close();
    return this.runtime.close().then(() => this.pasta?.close());
  }

  /**
   * Ends the sandbox. With `grace` (ms, default 0) its programs first get SIGTERM and that much time to exit. Settles
   * when every process, mount and cgroup of the sandbox is gone; rejects only for invalid arguments.
   */
  async close(closing: { readonly grace?: number } = {}): Promise<void> {
    const { grace = 0 } = parseObject(closing, '', ['grace']);
    const time = parseInteger(grace, 'grace', 0, 2 ** 31 - 1);
    if (time > 0 && this.runtime.usable) await this.runtime.terminate(time);
    await this.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function attemptPid(pid: number, find: (pid: number) => number): number | undefined {
  const number = parseInteger(pid, 'pid', 1, 2 ** 22);
  try {
    return find(number);
  } catch (error) {
    if (error instanceof SysError && error.code === 'ESRCH') return undefined;
    throw error;
  }
}
