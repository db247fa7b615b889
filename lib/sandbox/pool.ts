import { NsError, OptionError } from '../base/errors';
import { parseInteger, parseObject } from '../base/parse';
import type { SandboxOptions } from '../features';
import type { Spec } from '../features/spec';
import { closedError } from '../launcher/session';
import { type ParsedOptions, type ProgramOptions, parseProgramOptions } from '../options/options';
import { parseSandboxOptions } from '../options/spec';
import { handle } from '../run/isolated-process';
import type { RunEvents } from '../run/link';
import type { Run } from '../run/run';
import { startParked, startSingleRun } from '../run/single-run';
import type { IsolatedProcess } from '../run/types';
import { Parked } from '../runtime/parked';
import { SandboxBuilder } from './builder';

/** Options of a {@link SandboxPool}, in addition to those of its sandboxes. */
export interface PoolOptions {
  /** Number of sandboxes that are kept ready for a program. Default 1. */
  readonly size?: number;
}

const maxSize = 256;

/**
 * Sandboxes that are set up before they are needed. As with {@link spawnIsolated}, each sandbox is for one program and
 * ends with it, so that no program finds anything left by another. While a program runs, another sandbox is set up to
 * replace the one that it uses. A waiting sandbox has its namespaces, mounts and cgroups, and runs only its init. It
 * costs about 40 KB of memory, the kernel's memory for these objects, and three descriptors of this process. Sources of
 * mounts are looked up when a sandbox is set up, not when its program starts. Time limits start with the program. All
 * waiting sandboxes end with close(), or with this process.
 */
export class SandboxPool {
  /** The options given to open(). */
  readonly options: SandboxOptions;
  private readonly spec: Spec;
  private readonly waiting = new Set<Parked>();
  private isClosed = false;

  private constructor(
    builder: SandboxBuilder,
    private readonly size: number,
  ) {
    this.options = builder.options;
    const spec = parseSandboxOptions(this.options);
    if (typeof spec.network === 'object' && spec.network.pasta)
      throw new OptionError(
        'network.pasta',
        'cannot be used in a pool, because pasta takes time to start; open a Sandbox with this option and spawn the program in it',
      );
    this.spec = spec;
  }

  /**
   * Sets up the sandboxes. Throws OptionError or OptionRangeError synchronously for invalid options. The promise
   * rejects with a SysError if the kernel refused a step; no sandbox is left in that case. Requires Linux 5.12 or
   * later.
   */
  static open(options: SandboxOptions | SandboxBuilder = {}, pool: PoolOptions = {}): Promise<SandboxPool> {
    const { size = 1 } = parseObject(pool, '', ['size']);
    const builder = options instanceof SandboxBuilder ? options : new SandboxBuilder(options);
    const opened = new SandboxPool(builder, parseInteger(size, 'size', 1, maxSize));
    return opened.open().then(() => opened);
  }

  private async open(): Promise<void> {
    try {
      this.fill();
      await Promise.all([...this.waiting].map(({ ready }) => ready));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Number of sandboxes that are ready for a program now. */
  get ready(): number {
    return [...this.waiting].filter(({ isReady }) => isReady).length;
  }

  /**
   * Runs a program in a sandbox of its own, as {@link spawnIsolated} does with the pool's options. The options
   * `env`, `cwd`, `argv0`, `umask` and `rlimits` can be changed for one program. If no sandbox is ready, one is set up
   * for the program. Rejects with ERR_NSJS_CLOSED once the pool is closed.
   */
  spawn(command: string, args?: readonly string[], options?: PoolProgramOptions & { readonly encoding?: 'utf8' }): IsolatedProcess<string>;
  spawn(
    command: string,
    args: readonly string[] | undefined,
    options: PoolProgramOptions & { readonly encoding: 'buffer' },
  ): IsolatedProcess<Buffer>;
  spawn(command: string, args?: readonly string[], options?: PoolProgramOptions): IsolatedProcess<string | Buffer>;
  spawn(command: string, args?: readonly string[], options: PoolProgramOptions = {}): IsolatedProcess<string | Buffer> {
    const parsed = parseProgramOptions({ options: this.options, spec: this.spec }, command, args, options);
    if (parsed.ownLimits !== undefined) throw new OptionError('limits', 'applies to the whole sandbox; pass it to SandboxPool.open');
    return handle(parsed, (ready, events) => this.start(ready, events));
  }

  /** Ends the waiting sandboxes; running programs go on. Settles when the waiting sandboxes are gone. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.waiting].map((parked) => parked.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private start(parsed: ParsedOptions, events: RunEvents): Run {
    if (this.isClosed) throw closedError();
    // Refills the pool once the program has started, so that the start is not delayed.
    const refilling: RunEvents = {
      ...events,
      started: (pid) => {
        events.started(pid);
        this.refill();
      },
      settled: (error, result) => {
        events.settled(error, result);
        this.refill();
      },
    };
    for (const outdated of [...this.waiting].filter((one) => one.isOutdated)) {
      this.waiting.delete(outdated);
      void outdated.close();
    }
    const parked = [...this.waiting].find(({ isReady }) => isReady);
    if (!parked) return startSingleRun(parsed, refilling);
    this.waiting.delete(parked);
    try {
      return startParked(parked, parsed, refilling);
    } catch (error) {
      void parked.close();
      if (isGone(error)) return startSingleRun(parsed, refilling);
      this.refill();
      throw error;
    }
  }

  // An error is ignored here: the next program encounters and reports it.
  private refill(): void {
    try {
      if (!this.isClosed) this.fill();
    } catch {}
  }

  private fill(): void {
    while (this.waiting.size < this.size) {
      const parked = new Parked(this.spec);
      this.waiting.add(parked);
      void parked.ended.then(() => this.waiting.delete(parked));
    }
  }
}

/** Options of a program of a {@link SandboxPool}. */
export type PoolProgramOptions = Omit<ProgramOptions, 'limits'>;

const isGone = (error: unknown): boolean => error instanceof NsError && error.code === 'ERR_NSJS_CLOSED';
