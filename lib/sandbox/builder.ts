import type { SandboxOptions } from '../features';
import type { Mount } from '../features/root/mounts';
import { mergeOptions } from '../options/merge';
import { parseSandboxOptions } from '../options/spec';
import { explain, type Plan } from './explain';

/**
 * Checked options of a sandbox as an immutable value: each method returns a new one. Creating a builder has no side
 * effects. `JSON.stringify` returns the options.
 */
export class SandboxBuilder {
  readonly options: SandboxOptions;

  /** Throws OptionError or OptionRangeError if the options are invalid. */
  constructor(options: SandboxOptions = {}) {
    this.options = copy(mergeOptions({}, options));
    parseSandboxOptions(this.options);
  }

  /**
   * Returns a builder with other options applied on top: options such as `limits` and `env` are merged key by key,
   * `mounts` are appended, and all others are replaced. An option that is `undefined` changes nothing.
   */
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

  /** Returns the plan for these options, see {@link explain}. */
  explain(command?: string, args?: readonly string[]): Plan {
    return explain(this.options, command, args);
  }

  toJSON(): SandboxOptions {
    return this.options;
  }
}

// Copies plain objects and arrays only. Values that are bound to this process (namespaces, bytes) are used as they are.
function copy<T>(value: T): T {
  if (Array.isArray(value)) return Object.freeze(value.map(copy)) as T;
  if (typeof value !== 'object' || value === null || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) return value;
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]))) as T;
}
