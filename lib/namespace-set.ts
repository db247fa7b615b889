import { NsError } from './errors';
import type { NamespaceType } from './features/namespaces';
import type { SpawnOptions } from './launch/options';
import type { IsolatedProcess } from './launch/process';
import { spawnIsolated } from './launch/spawn';
import type { Namespace } from './namespace';

/** Several namespaces at once, by type. */
export class NamespaceSet {
  constructor(private readonly list: readonly Namespace[]) {}

  /** The one of a type. Throws NsError ERR_NSJS_CLOSED if it is not among them. */
  get<T extends NamespaceType>(type: T): Namespace<T> {
    const found = this.list.find((one) => one.type === type);
    if (!found) throw new NsError('ERR_NSJS_CLOSED', `there is no ${type} namespace in this set`);
    return found as Namespace<T>;
  }

  [Symbol.iterator](): Iterator<Namespace> {
    return this.list[Symbol.iterator]();
  }

  /** Runs a program in all of them; the user namespace that owns them is entered first. */
  spawn(command: string, args?: readonly string[], options: SpawnOptions = {}): IsolatedProcess<string | Buffer> {
    const joined = this.list.filter(({ type }) => type !== 'user').map((one) => [one.type, one]);
    return spawnIsolated(command, args, { ...options, namespaces: { ...options.namespaces, ...Object.fromEntries(joined) } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.list) await one[Symbol.asyncDispose]();
  }
}
