import { bare, parseArray, parseObject, parseRecord } from '../base/parse';
import { features, type SandboxOptions } from '../features';
import { shareOf } from '../features/counts';
import { host } from '../host/host';

/** Keys of one option, or of all: a value per name. */
type Values = Readonly<Record<string, unknown>>;

const keys = Object.keys(features) as (keyof typeof features)[];

/** The keys of {@link SandboxOptions}. */
export const sandboxKeys = ['preset', ...keys] as const;

// These are added to key by key; every other option replaces what was there.
const byKey: readonly string[] = ['namespaces', 'user', 'limits', 'rlimits', 'env', 'scratch'];

/** Reads the options themselves, not what is in them, each once. Throws an OptionError for an unknown one. */
export function readOptions(options: unknown): Values {
  const given = parseObject(options, '', sandboxKeys);
  return withoutUndefined(given);
}

/**
 * One option's value on top of another one. `undefined` counts as not given, in it and instead of it; in `env` it removes the variable.
 * Neither is checked: what is no object replaces the other, and is refused when it is parsed.
 */
export function mergeOption(key: string, base: unknown, given: unknown): unknown {
  if (given === undefined) return base;
  if (base === undefined) return given;
  if (key === 'mounts') return Array.isArray(base) && Array.isArray(given) ? [...base, ...parseArray(given, key)] : given;
  if (!byKey.includes(key) || !isRecord(base) || !isRecord(given)) return given;
  const [under, over] = [parseRecord(base, key), parseRecord(given, key)];
  return bare({ ...under, ...(key === 'env' ? over : withoutUndefined(over)) });
}

/** Options on top of others: the same for a preset and what stands beside it, for a builder, and for one program of a sandbox. */
export function mergeOptions(base: unknown, changes: unknown): SandboxOptions {
  const [under, over] = [readOptions(base), readOptions(changes)];
  const merged = sandboxKeys.map((key) => [key, mergeOption(key, under[key], over[key])] as const);
  return bare(Object.fromEntries(merged.filter(([, value]) => value !== undefined)));
}

// What the kernel counts for all processes of a user together: one sandbox is not to have all of it.
const countedByUser: readonly string[] = ['memlock', 'msgqueue', 'sigpending'];

/**
 * The limits of a preset, none above the caller's own, and of what is counted by user no more than a share of it: only what the caller itself
 * writes can fail for that.
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
