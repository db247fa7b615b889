import type { SandboxOptions } from '../features';
import type { Mount } from '../features/root/mounts';
import { mergeOptions } from '../options/merge';
import { parseSandboxOptions } from '../options/spec';
import { explain, type Plan } from './explain';

/**
 * Options of a sandbox, checked, as an immutable value: each method returns another one. It is data and touches nothing;
 * `JSON.stringify` gives the options back.
 */
export class SandboxBuilder {
  readonly options: SandboxOptions;

  /** Throws OptionError or OptionRangeError if the options are wrong. */
  constructor(options: SandboxOptions = {}) {
    this.options = copy(mergeOptions({}, options));
    parseSandboxOptions(this.options);
  }

  /** With other options: `limits`, `env` and the like are added key by key, mounts behind those there are, the rest replaced. `undefined` changes nothing. */
  with(options: SandboxOptions): SandboxBuilder {
    return new SandboxBuilder(mergeOptions(this.options, options));
  }

  mount(...mounts: readonly Mount[]): SandboxBuilder {
    return this.with({ mounts });
  }

  env(env: NonNullable<SandboxOptions['env']>): SandboxBuilder {
    return this.with({ env });
  }

  limit(limits: NonNullable<SandboxOptions['limits']>): SandboxBuilder {
    return this.with({ limits });
  }

  network(network: NonNullable<SandboxOptions['network']>): SandboxBuilder {
    return this.with({ network });
  }

  /** The plan these options lead to, as {@link explain}. */
  explain(command?: string, args?: readonly string[]): Plan {
    return explain(this.options, command, args);
  }

  toJSON(): SandboxOptions {
    return this.options;
  }
}

// Plain objects and arrays only; what is bound to this process (namespaces, bytes) stays what it is.
function copy<T>(value: T): T {
  if (Array.isArray(value)) return Object.freeze(value.map(copy)) as T;
  if (typeof value !== 'object' || value === null || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) return value;
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]))) as T;
}
