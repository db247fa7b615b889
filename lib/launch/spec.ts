import { OptionError } from '../errors';
import { features, type PresetName, presetNames, type SandboxOptions, type Spec } from '../features';
import { isSetUp } from '../features/network';
import type { RlimitsOptions } from '../features/rlimits';
import { refuseSetIdHole } from '../features/seccomp';
import { refusesSockets } from '../features/seccomp-filter';
import { host } from '../host';
import { deepFreeze, parseObject, parseOneOf } from '../parse';
import { presets } from '../presets';

const keys = Object.keys(features) as (keyof typeof features)[];
// These add to what the preset says, key by key; every other option replaces it.
const merged: readonly string[] = ['namespaces', 'user', 'limits', 'rlimits', 'env', 'scratch'];

/** The keys of {@link SandboxOptions}. */
export const sandboxKeys: readonly string[] = ['preset', ...keys];

/** Reads sandbox options once, on top of their preset, into a frozen Spec. Throws OptionError or OptionRangeError. */
export function parseSandboxOptions(options: SandboxOptions): Spec {
  const given = parseObject(options, '', [...keys, 'preset']);
  const preset = given.preset === undefined ? 'untrusted' : parseOneOf(given.preset, 'preset', presetNames);
  const changed = keys.filter((key) => given[key] !== undefined);
  const base = parsedPreset(preset);
  if (changed.length === 0) return base;
  const parsed = changed.map((key) => [key, deepFreeze(features[key].parse(merge(key, presets[preset][key], given[key]), key))]);
  return checked(Object.freeze({ ...base, ...Object.fromEntries(parsed) }) as Spec);
}

const parsedPresets = new Map<string, Spec>();

// The spec of a preset alone: the same object each time, by which plans are known again.
function parsedPreset(preset: PresetName): Spec {
  const known = parsedPresets.get(preset);
  if (known) return known;
  const base = presets[preset];
  const parsed = keys.map((key) => [key, features[key].parse(merge(key, base[key], undefined), key)]);
  const spec = checked(deepFreeze(Object.fromEntries(parsed) as Spec));
  parsedPresets.set(preset, spec);
  return spec;
}

/** Reads what one program of a sandbox is given beside its sandbox's options; the same spec if it is nothing. */
export function parseProgramChanges(options: SandboxOptions, spec: Spec, given: Readonly<Record<string, unknown>>): Spec {
  const changed = keys.filter((key) => given[key] !== undefined);
  if (changed.length === 0) return spec;
  const preset = presets[options.preset ?? 'untrusted'];
  const parsed = changed.map((key) => {
    const base = merge(key, preset[key], options[key as keyof SandboxOptions]);
    return [key, deepFreeze(features[key].parse(merge(key, base, given[key]), key))];
  });
  return checked(Object.freeze({ ...spec, ...Object.fromEntries(parsed) }) as Spec);
}

function merge(key: string, base: unknown, given: unknown): unknown {
  if (key === 'rlimits') return mergeRlimits(base as RlimitsOptions['rlimits'], given);
  if (given === undefined) return base;
  if (key === 'mounts' && Array.isArray(base) && Array.isArray(given)) return [...base, ...given];
  if ((key !== '' && !merged.includes(key)) || typeof base !== 'object' || typeof given !== 'object') return given;
  if (Array.isArray(given) || given === null) return given;
  // `undefined` removes a variable of the environment; of anything else it leaves what the preset says.
  const named = Object.entries(given).filter(([, value]) => key === 'env' || value !== undefined);
  return { ...base, ...Object.fromEntries(named) };
}

// A preset asks for no more than the caller may give: only what the caller itself writes can fail for that.
function mergeRlimits(base: RlimitsOptions['rlimits'] = {}, given: unknown): unknown {
  const hard = host().hardLimits;
  const capped = Object.entries(base).map(([name, value]) => [name, Math.min(Number(value), hard[name] ?? Number.POSITIVE_INFINITY)]);
  return given === undefined ? Object.fromEntries(capped) : merge('', Object.fromEntries(capped), given);
}

// What only options together can get wrong. The rest of such checks sits in the features' emit.
function checked(given: Spec): Spec {
  const spec = withNetwork(withTime(given));
  refuseSetIdHole(spec);
  const { joined } = spec.namespaces;
  const isHost = (type: 'user' | 'net') =>
    !spec.namespaces[type] && joined[type] === undefined && !(type === 'net' && isSetUp(spec.network));
  // With a user namespace that is the host's nothing but these two keeps the program from the network.
  const isGuarded = spec.landlock.level !== 'off' && (spec.network === 'host' || refusesSockets(spec));
  if (isHost('user') && (isHost('net') || spec.network === 'host') && !isGuarded)
    throw new OptionError('network', "the host's network with the host's user namespace would leave the network unprotected");
  if (spec.network !== 'host') return spec;
  if (joined.net !== undefined) throw new OptionError('network', "'host' and another namespace exclude each other");
  return deepFreeze({ ...spec, namespaces: { ...spec.namespaces, net: false } });
}

// A network that is set up is a namespace that is made beforehand and entered, as one that is shared.
function withNetwork(spec: Spec): Spec {
  const { network, namespaces } = spec;
  if (typeof network !== 'object') return spec;
  if (!namespaces.net) throw new OptionError('network', 'needs a net namespace of its own: leave it out of namespaces');
  // The one around it has rights over every network that this process has set up.
  if (isSetUp(network) && !namespaces.user)
    throw new OptionError('network', 'one that is set up needs a user namespace of its own for the program');
  const { share, egress } = network;
  if (share !== undefined)
    return deepFreeze({ ...spec, namespaces: { ...namespaces, net: false, joined: { ...namespaces.joined, net: share } } });
  const env = egress?.proxy ? { ...proxyEnvironment, ...spec.env } : spec.env;
  return deepFreeze({ ...spec, env, namespaces: { ...namespaces, net: false } });
}

const proxies = { HTTP_PROXY: 'http://127.0.0.1:3128', HTTPS_PROXY: 'http://127.0.0.1:3128', ALL_PROXY: 'socks5h://127.0.0.1:1080' };
const lowerCase = Object.fromEntries(Object.entries(proxies).map(([name, url]) => [name.toLowerCase(), url]));
const proxyEnvironment = { ...proxies, ...lowerCase, NO_PROXY: 'localhost,127.0.0.1,::1', NODE_USE_ENV_PROXY: '1' };

function withTime(spec: Spec): Spec {
  if (spec.time === undefined) return spec;
  if (spec.namespaces.joined.time !== undefined)
    throw new OptionError('time', 'the offsets of a time namespace that exists cannot be changed');
  return deepFreeze({ ...spec, namespaces: { ...spec.namespaces, time: true } });
}
