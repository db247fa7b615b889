import { bare, parseArray, parseObject, parseRecord } from '../base/parse';
import { features, type SandboxOptions } from '../features';
import { shareOf } from '../features/counts';
import { host } from '../host/host';

/** Values by name, either of one option or of all options. */
type Values = Readonly<Record<string, unknown>>;

const keys = Object.keys(features) as (keyof typeof features)[];

/** The keys of {@link SandboxOptions}. */
export const sandboxKeys = ['preset', ...keys] as const;

// These options are merged key by key and `mounts` is appended to. Every other option replaces the previous value.
const byKey: readonly string[] = ['namespaces', 'user', 'limits', 'rlimits', 'env', 'scratch'];

/** Reads the options, each once, but not their contents. Throws an OptionError for an unknown option. */
export function readOptions(options: unknown): Values {
  const given = parseObject(options, '', sandboxKeys);
  return withoutUndefined(given);
}

/**
 * Merges one option's value over another value. `undefined` counts as not given, on both sides; in `env` it removes the
 * variable. Neither value is validated: a value that is not an object replaces the other one and is rejected when it is
 * parsed.
 */
export function mergeOption(key: string, base: unknown, given: unknown): unknown {
  if (given === undefined) return base;
  if (base === undefined) return given;
  if (key === 'mounts') return Array.isArray(base) && Array.isArray(given) ? [...parseArray(base, key), ...parseArray(given, key)] : given;
  if (!byKey.includes(key) || !isRecord(base) || !isRecord(given)) return given;
  const [under, over] = [parseRecord(base, key), parseRecord(given, key)];
  return bare({ ...under, ...(key === 'env' ? over : withoutUndefined(over)) });
}

/**
 * Merges options over others. Used for a preset and the options given with it, for a builder, and for one program of a
 * sandbox.
 */
export function mergeOptions(base: unknown, changes: unknown): SandboxOptions {
  const [under, over] = [readOptions(base), readOptions(changes)];
  const merged = sandboxKeys.map((key) => [key, mergeOption(key, under[key], over[key])] as const);
  return bare(Object.fromEntries(merged.filter(([, value]) => value !== undefined)));
}

// Resources that the kernel counts for all processes of a user together. One sandbox must not use all of them.
const countedByUser: readonly string[] = ['memlock', 'msgqueue', 'sigpending'];

/**
 * Returns the rlimits of a preset, capped at the caller's hard limits. Without root, resources that are counted by user
 * are capped at a share of these. Only rlimits that the caller specifies itself can therefore fail for this reason.
 */
export function cappedRlimits(base: SandboxOptions['rlimits'] = {}): NonNullable<SandboxOptions['rlimits']> {
  const { hardLimits, privileged } = host();
  const most = (name: string) => {
    const hard = hardLimits[name] ?? Number.POSITIVE_INFINITY;
    return privileged || !countedByUser.includes(name) ? hard : shareOf(hard);
  };
  const capped = Object.entries(base).map(([name, value]) => [name, Math.min(Number(value), most(name))]);
  return bare(Object.fromEntries(capped));
}

const isRecord = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

const withoutUndefined = (values: Values): Values =>
  bare(Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)));
