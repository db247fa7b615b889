import { NsError, SysError } from '../base/errors';
import { parseInteger, parseObject, parseOneOf, parseSignal } from '../base/parse';
import type { SandboxOptions } from '../features';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import type { PastaSpec } from '../features/pasta';
import type { Mount } from '../features/root/mounts';
import { folderFd } from '../features/root/root';
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
import { networkOwner, openResident } from '../runtime/open';
import type { Opened, Resident } from '../runtime/runtime';
import { dup } from '../sys/file';
import { pidFromPidns, pidInPidns } from '../sys/namespace';
import { SandboxBuilder } from './builder';
import { mountInto } from './mount';
import { overlayChanges } from './overlay';
import { startPasta } from './pasta';
import { sharePins } from './pins';
import { liveSandboxes, SandboxResources } from './resources';
import { type SelfTestResult, selfTest } from './self-test';

/** Beside the options of the sandbox itself. */
export interface OpenOptions {
  /** Gives the sandbox up when it is aborted, while it opens and later. */
  readonly signal?: AbortSignal;
}

/**
 * A long-lived sandbox: programs are started in it one after the other or side by side, by its init, so nothing ever
 * enters it from outside. All of it ends with close(), with this process, or with its launcher, however they die.
 */
export class Sandbox extends SandboxResources {
  /** What is in force. */
  readonly report: Report;
  /** As they were given. */
  readonly options: SandboxOptions;
  /** Its files, for this process. Methods reject with ERR_NSJS_CLOSED once it is closed. */
  readonly fs: SandboxFs;
  /** Sockets of this process in its network namespace; closed with it. */
  readonly net: NamespaceSockets;

  private constructor(
    builder: SandboxBuilder,
    resident: Resident,
    private readonly opened: Opened,
  ) {
    super(resident.groupName ?? `nsjs-${process.pid}-${opened.record.namespaces.mnt}`, resident);
    this.options = builder.options;
    this.report = makeReport(resident.spec, resident.scene, opened.record, resident.outcome);
    const { namespaces } = opened;
    const owner = networkOwner(resident, namespaces.user);
    this.net = new NamespaceSockets(() => {
      if (this.closed) throw closedError();
      return { netFd: namespaces.net, ...owner };
    });
    this.fs = new SandboxFs(() => this.folder(folderFd.root));
    void resident.ended.then(() => this.net.close());
  }

  /** What its network is made by. */
  private pasta: Resident | undefined;

  private async attachPasta(spec: PastaSpec, signal: AbortSignal | undefined): Promise<void> {
    try {
      const pasta = await startPasta(spec, this.net.namespaces, signal);
      this.pasta = pasta;
      void this.resident.ended.then(() => pasta.close());
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  private folder(what: number): Root {
    if (this.closed) throw closedError();
    const fd = this.opened.folders.get(what);
    if (fd === undefined)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'a sandbox in the mount namespace of the host has no files of its own', {
        hint: 'open it with a new mount namespace',
      });
    const { scene } = this.resident;
    // Of several ids the first: who would be root inside.
    return new Root(fd, scene.hostId === undefined ? undefined : { uid: scene.hostId, gid: scene.hostId });
  }

  /** Those of this process that are open. */
  static list(): readonly Sandbox[] {
    return liveSandboxes() as readonly Sandbox[];
  }

  /** Options as a value, to be changed and opened later. Throws OptionError or OptionRangeError. */
  static define(options: SandboxOptions = {}): SandboxBuilder {
    return new SandboxBuilder(options);
  }

  /**
   * Sets a sandbox up and starts no program. Wrong options throw at once (OptionError, OptionRangeError); the promise
   * rejects with a SysError if the kernel refused a step, with an AbortError if `signal` was aborted. Linux 5.12 or later.
   */
  static open(options: SandboxOptions | SandboxBuilder = {}, opening: OpenOptions = {}): Promise<Sandbox> {
    const given = parseObject(opening, '', ['signal']).signal;
    const signal = given === undefined ? undefined : parseSignal(given);
    const builder = options instanceof SandboxBuilder ? options : new SandboxBuilder(options);
    const spec = parseSandboxOptions(builder.options);
    return openResident(spec, signal).then(async ({ resident, opened }) => {
      await sharePins(resident, opened).catch((error) => resident.close().then(() => Promise.reject(error)));
      const sandbox = new Sandbox(builder, resident, opened);
      if (typeof spec.network === 'object' && spec.network.pasta) await sandbox.attachPasta(spec.network.pasta, signal);
      return sandbox;
    });
  }

  /** False once it is closed, or has ended by itself. */
  get closed(): boolean {
    return !this.resident.usable;
  }

  /**
   * Starts a program in it, as {@link spawnIsolated} does with the options of a run; of the sandbox's own options one
   * program may have other `env`, `cwd`, `argv0`, `umask`, `rlimits` and per-process `limits`. SIGKILL, `timeout` and abort
   * end that program and what it has started (see `killTree`); what one that ended by itself has left running goes on until the sandbox is closed. Rejects with ERR_NSJS_CLOSED once it is.
   */
  spawn(command: string, args?: readonly string[], options?: ProgramOptions & { readonly encoding?: 'utf8' }): IsolatedProcess<string>;
  spawn(
    command: string,
    args: readonly string[] | undefined,
    options: ProgramOptions & { readonly encoding: 'buffer' },
  ): IsolatedProcess<Buffer>;
  spawn(command: string, args?: readonly string[], options?: ProgramOptions): IsolatedProcess<string | Buffer>;
  spawn(command: string, args?: readonly string[], options: ProgramOptions = {}): IsolatedProcess<string | Buffer> {
    const parsed = parseProgramOptions({ options: this.options, spec: this.resident.spec }, command, args, options);
    return handle(parsed, (ready, events) => this.resident.spawn(ready, events));
  }

  /**
   * One of its namespaces, to be shared with another sandbox, entered or inspected; the caller closes it. Type `user` gives the
   * outer one, which owns the others. Throws NsError ERR_NSJS_CLOSED once the sandbox is closed.
   */
  namespace<T extends NamespaceType>(type: T): Namespace<T> {
    parseOneOf(type, 'type', namespaceTypes);
    if (this.closed) throw closedError();
    return Namespace.take(dup(this.opened.namespaces[type]), type);
  }

  /**
   * Mounts something into it while it runs: `tmpfs`, a {@link MountTree}, or, run by root, `bind`. Its target must exist, or lie in a place that can be
   * written. Rejects with a SysError, with NsError ERR_NSJS_CLOSED once it is closed; throws OptionError for other types.
   */
  async mount(mount: Mount): Promise<void> {
    if (this.closed) throw closedError();
    await mountInto(this.resident, this.opened, mount);
  }

  /**
   * What was changed below an overlay: that of `root`, or, by its target, one of `mounts`. Throws NsError ERR_NSJS_CLOSED once the
   * sandbox is closed, OptionError where there is no overlay.
   */
  overlay(target = '/'): OverlayChanges {
    return overlayChanges(
      target,
      this.resident,
      (what) => this.folder(what),
      () => this.close(),
    );
  }

  /**
   * Which number a process of the sandbox has outside: `outside(pid)`, and inside: `inside(pid)`; undefined for what is not
   * there, or not in it. Linux 6.11.
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
   * Tries a short list of ways out in a process that is confined as its programs are, and tells what the kernel answered. It needs no
   * program inside and changes nothing. What the options allow (a preset such as `container`) is told as not blocked.
   */
  selfTest(): Promise<readonly SelfTestResult[]> {
    return this.closed ? Promise.reject(closedError()) : selfTest({ options: this.options, resident: this.resident });
  }

  /** Its options with others on top, as a value: {@link SandboxBuilder.with}. */
  with(options: SandboxOptions): SandboxBuilder {
    return new SandboxBuilder(this.options).with(options);
  }

  /**
   * Stops every process of it where it stands; settles when none runs any more. By the freezer of a cgroup (version 2,
   * or 1), or, where none can be made, by SIGSTOP, which programs can see; `report.freezer` says which. What is spawned
   * meanwhile starts with resume(). Rejects with ERR_NSJS_CLOSED once it is closed.
   */
  pause(): Promise<void> {
    return this.resident.setPaused(true);
  }

  /** Lets go on what pause() stopped. */
  resume(): Promise<void> {
    return this.resident.setPaused(false);
  }

  /** Kills every process of it; settles when all is gone. The same as close() without a grace. */
  kill(): Promise<void> {
    this.net.close();
    return this.resident.close().then(() => this.pasta?.close());
  }

  /**
   * Ends it: with `grace` (ms, default 0) its programs get SIGTERM and that much time. Settles when every process, mount
   * and cgroup of it is gone; rejects for nothing but wrong arguments.
   */
  async close(closing: { readonly grace?: number } = {}): Promise<void> {
    const { grace = 0 } = parseObject(closing, '', ['grace']);
    const time = parseInteger(grace, 'grace', 0, 2 ** 31 - 1);
    if (time > 0 && this.resident.usable) await this.resident.terminate(time);
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
