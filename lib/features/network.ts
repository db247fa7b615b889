import { OptionError } from '../base/errors';
import { parseIp } from '../base/ip';
import { parseArray, parseInteger, parseObject, parseRecord, parseString } from '../base/parse';
import { setLinkUp } from '../netlink/link';
import { encodeMessage, netlinkProtocols } from '../netlink/message';
import { type EgressOptions, type EgressSpec, parseEgress } from './egress';
import { normalName } from './egress-rules';
import { type Feature, feature } from './feature';
import {
  type InterfaceOptions,
  type InterfaceSpec,
  type MacvlanOptions,
  parseDevices,
  parseMacvlans,
  parseVeths,
  type VethOptions,
} from './interfaces';
import { cloneFlags, type NamespaceHandle } from './namespaces';
import { boundsText, loopbackBounds } from './network-bounds';
import { isNetBeside } from './network-kind';
import { type PastaOptions, type PastaSpec, parsePasta } from './pasta';

/** A network namespace that is created and set up before the sandbox, which joins it. Nothing inside can change it. */
export interface NetworkSetup {
  /**
   * An existing namespace: that of another sandbox, or a {@link Namespace} of type `net`. Excludes all other properties
   * except `dns` and `hosts`.
   */
  readonly share?: NamespaceHandle | { readonly net: { readonly handle: NamespaceHandle } };
  /** Egress: this process decides on every connection to the outside. Excludes interfaces and `pasta`. */
  readonly egress?: EgressOptions;
  /** Interfaces whose other end is in a {@link Network} or on the host. */
  readonly veth?: VethOptions | readonly VethOptions[];
  /** New interfaces on the link of a host interface. */
  readonly macvlan?: MacvlanOptions | readonly MacvlanOptions[];
  /**
   * Interfaces of the host that move into the namespace. Maps the name on the host to the name inside, or to more
   * options. Hardware interfaces return to the host at the end.
   */
  readonly devices?: Readonly<Record<string, string | InterfaceOptions>>;
  /** The host's network through the user-space program pasta(1), which must be installed. Excludes interfaces. */
  readonly pasta?: PastaOptions;
  /** Sysctls of the namespace: `{'net.ipv4.ip_default_ttl': 32}`. Only names that begin with `net.`. */
  readonly sysctl?: Readonly<Record<string, string | number>>;
  /** Name servers for /etc/resolv.conf of a `system` root. Default: those of the network, or none. */
  readonly dns?: readonly string[];
  /** Host names for /etc/hosts of a `system` root, by address. */
  readonly hosts?: Readonly<Record<string, string | readonly string[]>>;
}

export interface NetworkOptions {
  /**
   * `'none'` (default): a network namespace of its own in which only a loopback interface exists and is up. `'host'`:
   * the host's network, network_namespaces(7). An object describes the namespace, see {@link NetworkSetup}; ports below
   * 1024 are then free to use inside.
   */
  readonly network?: 'none' | 'host' | NetworkSetup;
}

/** {@link NetworkSetup} after parsing. */
export interface NetworkSpec {
  readonly share?: number;
  readonly egress?: EgressSpec;
  readonly interfaces: readonly InterfaceSpec[];
  readonly pasta?: PastaSpec;
  readonly sysctl: readonly (readonly [file: string, text: string])[];
  readonly dns?: readonly string[];
  readonly hosts: readonly (readonly [address: string, names: string])[];
}

const loopback = 1;

export const network: Feature<'network', 'none' | 'host' | NetworkSpec | undefined> = feature({
  key: 'network',
  parse(value, at): 'none' | 'host' | NetworkSpec | undefined {
    if (value === undefined || value === 'none' || value === 'host') return value;
    if (typeof value !== 'object')
      throw new OptionError(
        at,
        `expected 'none', 'host' or an object, received ${typeof value === 'string' ? `'${value}'` : typeof value}`,
      );
    return parseSetup(value, at);
  },
  emit(plan, spec, context) {
    const { network: mode, namespaces } = spec;
    if (mode === 'none' && !namespaces.net) throw new OptionError('network', "'none' needs a new net namespace: leave namespaces.net out");
    if (!namespaces.net || context.spareNet !== undefined) return;
    const section = isNetBeside(spec, context) ? 'beside' : 'inside';
    if (section === 'beside') plan.op('beside', 'namespaces', 'Unshare', cloneFlags.net);
    plan.op(section, 'network', 'Netlink', netlinkProtocols.route, encodeMessage(setLinkUp(loopback), 0));
    plan.optional(section, () => plan.op(section, 'network.bounds', 'Sysctl', boundsText(loopbackBounds)));
  },
});

const keys = ['share', 'egress', 'veth', 'macvlan', 'devices', 'pasta', 'sysctl', 'dns', 'hosts'] as const;

function parseSetup(value: unknown, at: string): NetworkSpec {
  const given = parseObject(value, at, keys);
  const named = keys.filter((key) => given[key] !== undefined);
  const exclude = (key: (typeof keys)[number], others: readonly string[]) => {
    const other = named.find((name) => others.includes(name));
    if (given[key] !== undefined && other) throw new OptionError(`${at}.${key}`, `cannot be combined with ${other}`);
  };
  exclude('share', ['egress', 'veth', 'macvlan', 'devices', 'pasta', 'sysctl']);
  exclude('egress', ['veth', 'macvlan', 'devices', 'pasta']);
  exclude('pasta', ['veth', 'macvlan', 'devices']);
  const veths = given.veth === undefined ? [] : parseVeths(given.veth, `${at}.veth`, 0);
  const macvlans = given.macvlan === undefined ? [] : parseMacvlans(given.macvlan, `${at}.macvlan`, veths.length);
  const devices = given.devices === undefined ? [] : parseDevices(given.devices, `${at}.devices`);
  const interfaces = [...veths, ...macvlans, ...devices];
  const twice = interfaces.find(({ name }, index) => name === 'lo' || interfaces.findIndex((other) => other.name === name) < index);
  if (twice) throw new OptionError(`${twice.at}.name`, `another interface is already named '${twice.name}'`);
  return {
    interfaces,
    ...(given.share === undefined ? {} : { share: parseShare(given.share, `${at}.share`) }),
    ...(given.egress === undefined ? {} : { egress: parseEgress(given.egress, `${at}.egress`) }),
    ...(given.pasta === undefined ? {} : { pasta: parsePasta(given.pasta, `${at}.pasta`) }),
    sysctl: parseSysctl(given.sysctl ?? {}, `${at}.sysctl`),
    hosts: parseHosts(given.hosts ?? {}, `${at}.hosts`),
    ...(given.dns === undefined
      ? {}
      : { dns: parseArray(given.dns, `${at}.dns`).map((server, index) => parseIp(server, `${at}.dns[${index}]`)) }),
  };
}

function parseShare(value: unknown, at: string): number {
  const outer = (value ?? {}) as { readonly net?: { readonly handle?: Partial<NamespaceHandle> } } & Partial<NamespaceHandle>;
  const { type, fd } = outer.net?.handle ?? outer;
  if (type !== 'net' || typeof fd !== 'number')
    throw new OptionError(at, 'expected a Sandbox, or a Namespace of type net', 'ERR_INVALID_ARG_TYPE');
  return parseInteger(fd, at, 0, 2 ** 31 - 1);
}

function parseSysctl(value: unknown, at: string): readonly (readonly [string, string])[] {
  return Object.entries(parseRecord(value, at)).map(([name, setting]) => {
    const where = `${at}['${name}']`;
    const parts = name.split('.');
    if (parts[0] !== 'net' || parts.some((part) => part === '' || part.includes('/')) || parts.length < 3)
      throw new OptionError(where, "expected a name that begins with 'net.'");
    const text = typeof setting === 'number' ? `${parseInteger(setting, where, Number.MIN_SAFE_INTEGER)}` : parseString(setting, where);
    if (text.length > 64) throw new OptionError(where, 'is longer than 64 bytes');
    return [`/proc/sys/${parts.join('/')}`, text] as const;
  });
}

function parseHosts(value: unknown, at: string): readonly (readonly [string, string])[] {
  return Object.entries(parseRecord(value, at)).map(([address, given]) => {
    const where = `${at}['${address}']`;
    const names = (Array.isArray(given) ? given : [given]).map((name: unknown) => {
      const known = normalName(parseString(name, where));
      if (known === undefined) throw new OptionError(where, `expected host names, received '${String(name)}'`);
      return known;
    });
    return [parseIp(address, where), names.join(' ')] as const;
  });
}

declare module './spec' {
  interface Spec {
    readonly network: ReturnType<(typeof network)['parse']>;
  }
}
