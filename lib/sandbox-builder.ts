import { explain, type Plan } from './explain';
import type { SandboxOptions } from './features';
import type { Mount } from './features/mounts';
import { parseSandboxOptions } from './launch/spec';

/**
 * Options of a sandbox, checked, as an immutable value: each method returns another one. It is data and touches nothing;
 * `JSON.stringify` gives the options back.
 */
export class SandboxBuilder {
  readonly options: SandboxOptions;

  /** Throws OptionError or OptionRangeError if the options are wrong. */
  constructor(options: SandboxOptions = {}) {
    parseSandboxOptions(options);
    this.options = copy(options);
  }

  /** With other options: `limits`, `env` and the like are added key by key, mounts behind those there are, the rest replaced. */
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

const merged = ['namespaces', 'user', 'limits', 'rlimits', 'env', 'scratch'] as const;

/** The options of two objects in one, as a preset and what is written beside it. */
export function mergeOptions(base: SandboxOptions, changes: SandboxOptions): SandboxOptions {
  const together: Record<string, unknown> = { ...base, ...changes };
  for (const key of merged) if (base[key] && changes[key]) together[key] = { ...base[key], ...changes[key] };
  if (base.mounts && changes.mounts) together.mounts = [...base.mounts, ...changes.mounts];
  return together;
}

// Plain objects and arrays only; what is bound to this process (namespaces, bytes) stays what it is.
function copy<T>(value: T): T {
  if (Array.isArray(value)) return Object.freeze(value.map(copy)) as T;
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]))) as T;
}
