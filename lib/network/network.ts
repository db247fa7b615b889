import { closeSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { setTimeout } from 'node:timers';
import { NsError, OptionError } from '../base/errors';
import { ipText, networkBytes, parseCidr, parseIp } from '../base/ip';
import { parseArray, parseBoolean, parseInteger, parseObject, parseOneOf, parseString } from '../base/parse';
import { parseVeths, type Switch, type VethOptions } from '../features/interfaces';
import { host } from '../host/host';
import { native } from '../native/addon';
import type { SocketNamespaces } from '../sys/in-namespace';
import { nsUserns } from '../sys/namespace';
import { NetlinkSocket } from '../sys/netlink-socket';
import type { Bridge, BridgeSpec } from './bridge/bridge';
import { ownerMark, sweepNetworks } from './bridge/sweep';
import { NamespaceSockets } from './inside/sockets';
import { addInterface, type Socketed } from './setup/interfaces';

/** What a {@link Network} is given. */
export interface NetworkCreateOptions {
  /** `'10.77.0.0/24'`, or one of each family. The first address is the network's own. Default: one of IPv4 that is free. */
  readonly subnet?: string | readonly string[];
  /**
   * Whether its sandboxes reach what this process's network namespace reaches, by its addresses (root only; the host must forward packets).
   * The link-local addresses where clouds keep credentials stay out of reach. Default false.
   */
  readonly nat?: boolean;
  /** Whether its sandboxes are kept from each other. Default false. */
  readonly isolated?: boolean;
  /** Whether its sandboxes reach what listens on this host (root only). Default false: they may ask it for names alone. */
  readonly host?: boolean;
  /** Bytes. Default the kernel's 1500. */
  readonly mtu?: number;
  /** Whether to make this host forward packets where it does not, for `nat`: between all of its interfaces, and it stays so. Default false: that is an error that says so. */
  readonly forwarding?: boolean;
}

/** A port of the host that leads to a sandbox of the network. */
export interface PublishOptions {
  readonly port: number;
  /** Address or alias of the sandbox. */
  readonly to: string;
  /** Default: the same. */
  readonly toPort?: number;
  /** Default `'tcp'`. */
  readonly protocol?: 'tcp' | 'udp';
}

/** A sandbox's place in a network. */
export interface Attachment {
  /** Name of the interface inside. */
  readonly interface: string;
  readonly addresses: readonly string[];
}

const lockFolder = '/run/nsjs';
const lockByte = 0;
const lockRetryMs = 5;
const lockTries = 2000;

/** A sandbox that can be plugged in: {@link Sandbox} is one. */
export interface Pluggable {
  readonly net: { readonly namespaces: SocketNamespaces };
  readonly ended: Promise<unknown>;
}

/**
 * A bridge that sandboxes are plugged into, with addresses for them and names between them. As root it is an interface of this
 * process's network namespace; as a user a network of its own that leads nowhere else. Linux 5.12 or later.
 */
export class Network implements Switch {
  /** For `network: {veth: {network}}`. */
  readonly plug: Bridge;
  /** Sockets of this process in it; as root it is in this process's own network, and its servers listen there as any other. */
  readonly net: NamespaceSockets | undefined;

  private constructor(plug: Bridge) {
    this.plug = plug;
    const { where } = plug;
    this.net = where && new NamespaceSockets(() => where);
  }

  /**
   * Makes one. Rejects with OptionError, OptionRangeError; NsError ERR_NSJS_NETWORK where the subnet is used on this host already,
   * ERR_NSJS_UNSUPPORTED for `nat` and `host` as a user, or where the host forwards no packets; SysError.
   */
  static async create(options: NetworkCreateOptions = {}): Promise<Network> {
    const spec = parseNetwork(options);
    if (!host().privileged) {
      const stray = (['nat', 'host', 'forwarding'] as const).find((key) => spec[key]);
      if (stray)
        throw new NsError('ERR_NSJS_UNSUPPORTED', `${stray}: as a user a network leads nowhere else`, {
          hint: 'use network: {egress}, or sandbox.net.publish',
        });
      return new Network(makeBridge(spec));
    }
    return locked(() => {
      sweepNetworks();
      return new Network(makeBridge(spec));
    });
  }

  /** Name of the bridge. */
  get name(): string {
    return this.plug.name;
  }

  get subnets(): readonly string[] {
    return this.plug.subnets.map(({ address, prefix }) => `${address}/${prefix}`);
  }

  /** The network's own addresses: gateway and name server of its sandboxes. */
  get gateways(): readonly string[] {
    return this.plug.gateways;
  }

  /** Addresses by alias. */
  get names(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.plug.names.entries());
  }

  /**
   * Plugs a sandbox in that is open. As a user it must have been opened with a network that is set up (`network: {}` is enough), so that
   * this process has rights over it. Throws OptionError, SysError, NsError ERR_NSJS_NETWORK, ERR_NSJS_UNSUPPORTED, ERR_NSJS_CLOSED.
   */
  attach(sandbox: Pluggable, options: Omit<VethOptions, 'network'> = {}): Attachment {
    const [spec] = parseVeths({ name: undefined, ...options, network: this }, 'options', 0);
    if (!spec) throw new OptionError('options', 'expected one interface');
    const { netFd, userFd } = sandbox.net.namespaces;
    if (!host().privileged && !isOwnedBy(netFd, this.plug.where?.userFd))
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'the sandbox has a network namespace of its own making', {
        hint: 'open it with network: {}, or with network: {veth: {network}}',
      });
    const owner = this.plug.where?.userFd ?? userFd;
    const where = { netFd, ...(owner === undefined ? {} : { userFd: owner }) };
    const route = NetlinkSocket.open('route', where);
    try {
      const socketed = addInterface(spec, where, route, undefined);
      void sandbox.ended.then(() => socketed.release());
      return { interface: spec.name, addresses: textOf(socketed) };
    } finally {
      route.close();
    }
  }

  /** Leads a port of the host to one of its sandboxes, nftables; root only. Throws OptionError, SysError, NsError ERR_NSJS_UNSUPPORTED. */
  publish(options: PublishOptions): void {
    const given = parseObject(options, '', ['port', 'to', 'toPort', 'protocol']);
    const port = parseInteger(given.port, 'port', 1, 65_535);
    this.plug.publish({
      protocol: parseOneOf(given.protocol ?? 'tcp', 'protocol', ['tcp', 'udp']),
      port,
      address: this.addressOf(parseString(given.to, 'to')),
      toPort: given.toPort === undefined ? port : parseInteger(given.toPort, 'toPort', 1, 65_535),
    });
  }

  /** Removes it; settles when nothing of it is left. Its sandboxes stay, without it. */
  async close(): Promise<void> {
    this.net?.close();
    await this.plug.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private addressOf(to: string): string {
    const known = this.names[to];
    if (known) return known.find((address) => isIPv4(address)) ?? known[0] ?? to;
    return parseIp(to, 'to');
  }
}

// Loaded when there is a network: it brings servers of names along.
function makeBridge(spec: BridgeSpec): Bridge {
  const bridge = require('./bridge/bridge') as typeof import('./bridge/bridge');
  return new bridge.Bridge(spec, ownerMark());
}

const textOf = ({ addresses }: Socketed) => addresses.map(({ address, prefix }) => `${address}/${prefix}`);

function isOwnedBy(netFd: number, userFd: number | undefined): boolean {
  if (userFd === undefined) return false;
  const owner = nsUserns(netFd);
  try {
    return fstatSync(owner).ino === fstatSync(userFd).ino;
  } finally {
    closeSync(owner);
  }
}

function parseNetwork(options: unknown): BridgeSpec {
  const given = parseObject(options, '', ['subnet', 'nat', 'isolated', 'host', 'mtu', 'forwarding']);
  const { subnet } = given;
  const several = Array.isArray(subnet);
  const list = subnet === undefined ? [] : several ? parseArray(subnet, 'subnet') : [subnet];
  const subnets = list.map((one, index) => {
    const at = several ? `subnet[${index}]` : 'subnet';
    const cidr = parseCidr(one, at);
    const bits = isIPv4(cidr.address) ? 32 : 128;
    if (cidr.prefix > bits - 2) throw new OptionError(at, 'has no room for a gateway and a sandbox');
    return { ...cidr, address: ipText(networkBytes(cidr)) };
  });
  if (new Set(subnets.map(({ address }) => isIPv4(address))).size < subnets.length)
    throw new OptionError('subnet', 'expected one of each family at most');
  const flag = (key: 'nat' | 'isolated' | 'host' | 'forwarding') => (given[key] === undefined ? false : parseBoolean(given[key], key));
  return {
    subnets,
    nat: flag('nat'),
    isolated: flag('isolated'),
    host: flag('host'),
    forwarding: flag('forwarding'),
    ...(given.mtu === undefined ? {} : { mtu: parseInteger(given.mtu, 'mtu', 68, 65_535) }),
  };
}

// Two processes that look for a free subnet at once would find the same one.
async function locked<T>(act: () => T): Promise<T> {
  mkdirSync(lockFolder, { mode: 0o700, recursive: true });
  const fd = openSync(`${lockFolder}/networks.lock`, 'a', 0o600);
  try {
    for (let attempt = 0; native().lockByte(fd, lockByte) !== 0; attempt++) {
      if (attempt === lockTries)
        throw new NsError('ERR_NSJS_NETWORK', `${lockFolder}/networks.lock is held`, { hint: 'another process makes networks; try again' });
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
    return act();
  } finally {
    closeSync(fd);
  }
}
