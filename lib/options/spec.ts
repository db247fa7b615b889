import { OptionError } from '../base/errors';
import { bare, deepFreeze, parseOneOf } from '../base/parse';
import { features, type PresetName, presetNames, type SandboxOptions } from '../features';
import { refuseSetIdHole } from '../features/host-writes';
import { isSetUp } from '../features/network-kind';
import { refusesSockets } from '../features/seccomp-filter';
import type { Spec } from '../features/spec';
import { type Host, host, lookAgain } from '../host/host';
import { cappedRlimits, mergeOption, mergeOptions, readOptions } from './merge';
import { presets } from './presets';

const keys = Object.keys(features) as (keyof typeof features)[];

/**
 * Reads sandbox options once, merges them over their preset and returns a frozen Spec. Throws OptionError or
 * OptionRangeError.
 */
export const parseSandboxOptions = (options: SandboxOptions): Spec => specFor(readOptions(options));

/** Does the same for options that have already been read: all keys are known and no value is undefined. */
export function specFor(given: Readonly<Record<string, unknown>>): Spec {
  lookAgain();
  const preset = given.preset === undefined ? 'untrusted' : parseOneOf(given.preset, 'preset', presetNames);
  const base = parsedPreset(preset);
  if (Object.keys(given).every((key) => key === 'preset' || given[key] === undefined)) return base;
  const parsed = parsedChanges(presetOptions(preset), given);
  const spec = { ...base, ...Object.fromEntries(parsed) };
  return checked(given.capabilities === undefined ? withoutRootsCapabilities(spec) : spec);
}

/** Parses the given options, each merged over its value in `under`. */
const parsedChanges = (under: SandboxOptions, given: Readonly<Record<string, unknown>>): readonly (readonly [keyof Spec, unknown])[] =>
  keys.filter((key) => given[key] !== undefined).map((key) => [key, parsedOption(key, under[key], given[key])] as const);

const parsedOption = (key: keyof typeof features, base: unknown, given: unknown): unknown =>
  deepFreeze(features[key].parse(mergeOption(key, base, given), key));

const presetOptions = (preset: PresetName): SandboxOptions => bare({ ...presets[preset], rlimits: cappedRlimits(presets[preset].rlimits) });

const parsedPresets = new WeakMap<Host, Map<string, Spec>>();

// Returns the spec of a preset alone. It is always the same object, because plans are cached by spec.
function parsedPreset(preset: PresetName): Spec {
  const ofHost = parsedPresets.get(host()) ?? new Map<string, Spec>();
  parsedPresets.set(host(), ofHost);
  const known = ofHost.get(preset);
  if (known) return known;
  const options = presetOptions(preset);
  const parsed = keys.map((key) => [key, parsedOption(key, options[key], undefined)]);
  const spec = checked(Object.fromEntries(parsed) as Spec);
  ofHost.set(preset, spec);
  return spec;
}

/** Parses the options of one program, merged over those of its sandbox. Returns the same spec if there are none. */
export function parseProgramChanges(options: SandboxOptions, spec: Spec, given: Readonly<Record<string, unknown>>): Spec {
  const preset = presets[bare({ ...options }).preset ?? 'untrusted'];
  const parsed = parsedChanges(mergeOptions({ ...preset, rlimits: cappedRlimits(preset.rlimits) }, options), given);
  // Options that can conflict belong to the sandbox, whose options have already been checked.
  return parsed.length === 0 ? spec : deepFreeze(withProxy({ ...spec, ...Object.fromEntries(parsed) }));
}

// The capabilities of a preset are meant for root, as is usual with the OCI runtime spec. Another user keeps only the
// bounding set: it may acquire them but starts without any.
function withoutRootsCapabilities(spec: Spec): Spec {
  const { capabilities, user } = spec;
  if ((user.uid ?? 0) === 0 || capabilities.permitted.length === 0) return spec;
  return { ...spec, capabilities: { ...capabilities, permitted: [], effective: [], inheritable: [], ambient: [] } };
}

// Checks combinations of options. Further checks of this kind are in the features' emit.
function checked(given: Spec): Spec {
  const spec = withProxy(withNetwork(withTime(given)));
  refuseSetIdHole(spec);
  const { joined } = spec.namespaces;
  const isHost = (type: 'user' | 'net') =>
    !spec.namespaces[type] && joined[type] === undefined && !(type === 'net' && isSetUp(spec.network));
  // With the host's user namespace, only Landlock and a seccomp filter without sockets keep the program from the
  // network.
  const isGuarded = () => spec.landlock.level !== 'off' && (spec.network === 'host' || refusesSockets(spec));
  if (isHost('user') && (isHost('net') || spec.network === 'host') && !isGuarded())
    throw new OptionError('network', "the host's network combined with the host's user namespace would leave the network unprotected");
  if (spec.network !== 'host') return deepFreeze(spec);
  if (joined.net !== undefined) throw new OptionError('network', "'host' cannot be combined with joining another net namespace");
  return deepFreeze({ ...spec, namespaces: { ...spec.namespaces, net: false } });
}

// A network that is set up is a network namespace created in advance. The sandbox joins it as it joins a shared one.
function withNetwork(spec: Spec): Spec {
  const { network, namespaces } = spec;
  if (typeof network !== 'object') return spec;
  if (!namespaces.net) throw new OptionError('network', 'needs a net namespace of its own: remove net from namespaces');
  // The surrounding user namespace has rights over every network that this process has set up.
  if (isSetUp(network) && !namespaces.user)
    throw new OptionError('network', 'requires namespaces.user: with these options, the program needs a user namespace of its own');
  const { share } = network;
  const joined = share === undefined ? namespaces.joined : bare({ ...namespaces.joined, net: share });
  return { ...spec, namespaces: { ...namespaces, net: false, joined } };
}

const proxies = { HTTP_PROXY: 'http://127.0.0.1:3128', HTTPS_PROXY: 'http://127.0.0.1:3128', ALL_PROXY: 'socks5h://127.0.0.1:1080' };
const lowerCase = Object.fromEntries(Object.entries(proxies).map(([name, url]) => [name.toLowerCase(), url]));
const proxyEnvironment: Readonly<Record<string, string>> = {
  ...proxies,
  ...lowerCase,
  NO_PROXY: 'localhost,127.0.0.1,::1',
  NODE_USE_ENV_PROXY: '1',
};

const withProxy = (spec: Spec): Spec =>
  typeof spec.network === 'object' && spec.network.egress?.proxy ? { ...spec, env: { ...proxyEnvironment, ...spec.env } } : spec;

function withTime(spec: Spec): Spec {
  if (spec.time === undefined) return spec;
  if (spec.namespaces.joined.time !== undefined)
    throw new OptionError('time', 'the offsets of an existing time namespace cannot be changed');
  return { ...spec, namespaces: { ...spec.namespaces, time: true } };
}
