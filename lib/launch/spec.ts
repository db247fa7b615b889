import { OptionError } from '../errors';
import { features, type SandboxOptions, type Spec } from '../features';
import { deepFreeze, parseObject, parseOneOf } from '../parse';
import { presets } from '../presets';

const keys = Object.keys(features) as (keyof typeof features)[];
const presetNames = ['untrusted', 'node', 'none'] as const;
// These add to what the preset says, key by key; every other option replaces it.
const merged: readonly string[] = ['namespaces', 'user', 'limits', 'rlimits', 'env', 'scratch'];

/** The keys of {@link SandboxOptions}. */
export const sandboxKeys: readonly string[] = ['preset', ...keys];

/** Reads sandbox options once, on top of their preset, into a frozen Spec. Throws OptionError or OptionRangeError. */
export function parseSandboxOptions(options: SandboxOptions): Spec {
  const given = parseObject(options, '', [...keys, 'preset']);
  const preset = given.preset === undefined ? 'untrusted' : parseOneOf(given.preset, 'preset', presetNames);
  const base = presets[preset];
  const parsed = keys.map((key) => [key, features[key].parse(merge(key, base[key], given[key]), key)]);
  return checked(deepFreeze(Object.fromEntries(parsed) as Spec));
}

function merge(key: string, base: unknown, given: unknown): unknown {
  if (given === undefined) return base;
  if (key === 'mounts' && Array.isArray(base) && Array.isArray(given)) return [...base, ...given];
  if (!merged.includes(key) || typeof base !== 'object' || typeof given !== 'object') return given;
  return Array.isArray(given) || given === null ? given : { ...base, ...given };
}

// What only options together can get wrong. The rest of such checks sits in the features' emit.
function checked(spec: Spec): Spec {
  if (spec.network !== 'host') return spec;
  if (!spec.namespaces.user) throw new OptionError('network', "'host' with the host's user namespace would leave the network unprotected");
  return deepFreeze({ ...spec, namespaces: { ...spec.namespaces, net: false } });
}
