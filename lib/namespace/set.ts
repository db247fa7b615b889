import { NsError } from '../base/errors';
import type { NamespaceType } from '../features/namespaces';
import { spawnIsolated } from '../run/spawn';
import type { IsolatedProcess, SpawnOptions } from '../run/types';
import type { Namespace } from './namespace';

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
