import { constants } from 'node:os';
import { setFrozen } from './cgroup/freezer';
import type { SandboxOptions } from './features';
import { handle } from './launch/handle';
import { type ProgramOptions, parseProgramOptions } from './launch/options';
import type { IsolatedProcess } from './launch/process';
import { makeReport, type Report } from './launch/report';
import { closedError, type Opened, openResident, type Resident } from './launch/resident';
import { parseSandboxOptions } from './launch/spec';
import { SandboxBuilder } from './sandbox-builder';

/** Beside the options of the sandbox itself. */
export interface OpenOptions {
  /** Gives the sandbox up when it is aborted, while it opens and later. */
  readonly signal?: AbortSignal;
}

/**
 * A sandbox that stays: programs are started in it one after the other or side by side, by its init, so nothing ever
 * enters it from outside. All of it ends with close(), with this process, or with its launcher, however they die.
 */
export class Sandbox {
  /** Name of its control groups, where it has some; unique on this machine in any case. */
  readonly id: string;
  /** What is in force. */
  readonly report: Report;
  /** As they were given. */
  readonly options: SandboxOptions;

  private constructor(
    builder: SandboxBuilder,
    private readonly resident: Resident,
    opened: Opened,
  ) {
    this.options = builder.options;
    this.report = makeReport(resident.spec, resident.scene, opened.record, resident.outcome.dropped);
    this.id = `nsjs-${process.pid}-${opened.record.namespaces.mnt}`;
  }

  /** Options as a value, to be changed and opened later. Throws OptionError or OptionRangeError. */
  static define(options: SandboxOptions = {}): SandboxBuilder {
    return new SandboxBuilder(options);
  }

  /**
   * Sets a sandbox up and starts no program. Wrong options throw at once (OptionError, OptionRangeError); the promise
   * rejects with a SysError if the kernel refused a step, with an AbortError if `signal` was aborted. Linux 5.12 or later.
   */
  static open(options: SandboxOptions | SandboxBuilder = {}, { signal }: OpenOptions = {}): Promise<Sandbox> {
    const builder = options instanceof SandboxBuilder ? options : new SandboxBuilder(options);
    const spec = parseSandboxOptions(builder.options);
    return openResident(spec, signal).then(({ resident, opened }) => new Sandbox(builder, resident, opened));
  }

  /** False once it is closed, or has ended by itself. */
  get closed(): boolean {
    return !this.resident.usable;
  }

  /**
   * Starts a program in it, as {@link spawnIsolated} does with the options of a run; of the sandbox's own options one
   * program may have other `env`, `cwd`, `argv0`, `umask`, `rlimits` and per-process `limits`. SIGKILL, `timeout` and abort
   * end that program; what it has left running goes on until the sandbox is closed. Rejects with ERR_NSJS_CLOSED once it is.
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

  /** Its options with others on top, as a value: {@link SandboxBuilder.with}. */
  with(options: SandboxOptions): SandboxBuilder {
    return new SandboxBuilder(this.options).with(options);
  }

  /**
   * Stops every process of it where it stands; settles when none runs any more. By the freezer of a control group (version 2,
   * or 1), or, where none can be made, by SIGSTOP, which programs can see. What is spawned meanwhile starts with resume().
   * Rejects with ERR_NSJS_CLOSED once it is closed.
   */
  pause(): Promise<void> {
    return this.freeze(true);
  }

  /** Lets go on what pause() stopped. */
  resume(): Promise<void> {
    return this.freeze(false);
  }

  private async freeze(on: boolean): Promise<void> {
    if (this.closed) throw closedError();
    const { freezer } = this.resident.scene;
    if (freezer) await setFrozen(freezer, on);
    else this.resident.signalAll(on ? constants.signals.SIGSTOP : constants.signals.SIGCONT);
  }

  /** Kills every process of it; settles when all is gone. The same as close() without a grace. */
  kill(): Promise<void> {
    return this.resident.close();
  }

  /**
   * Ends it: with `grace` (ms, default 0) its programs get SIGTERM and that much time. Settles when every process, mount
   * and control group of it is gone; never rejects.
   */
  async close({ grace = 0 }: { readonly grace?: number } = {}): Promise<void> {
    if (grace > 0 && this.resident.usable) await this.resident.terminate(grace);
    await this.resident.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
