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

/** Options of {@link Network.create}. */
export interface NetworkCreateOptions {
  /**
   * Subnet of the network, such as `'10.77.0.0/24'`, or a list with one subnet of each address family. The network
   * itself gets the first address of a subnet. Default: a free IPv4 subnet.
   */
  readonly subnet?: string | readonly string[];
  /**
   * Whether sandboxes can reach every network that this process's network namespace can reach, with its source address.
   * Needs root, and the host must forward packets. The link-local and other addresses at which clouds serve credentials
   * remain unreachable. Default: false.
   */
  readonly nat?: boolean;
  /** Whether sandboxes are isolated from each other. Default: false. */
  readonly isolated?: boolean;
  /**
   * Whether sandboxes can reach services that listen on this host. Needs root. Default: false. Sandboxes can then only
   * send DNS queries and ICMP messages to the host.
   */
  readonly host?: boolean;
  /** MTU in bytes. Default: the kernel's 1500. */
  readonly mtu?: number;
  /**
   * Whether to enable packet forwarding on this host for `nat` if it is disabled. It is then enabled between all
   * interfaces of the host, and stays enabled. Default: false, which makes disabled forwarding an error.
   */
  readonly forwarding?: boolean;
}

/** A port of the host that is forwarded to a sandbox of the network. */
export interface PublishOptions {
  readonly port: number;
  /** Address or alias of the sandbox. */
  readonly to: string;
  /** Port inside the sandbox. Default: `port`. */
  readonly toPort?: number;
  /** Default `'tcp'`. */
  readonly protocol?: 'tcp' | 'udp';
}

/** Interface and addresses of a sandbox in a network. */
export interface Attachment {
  /** Name of the interface inside the sandbox. */
  readonly interface: string;
  readonly addresses: readonly string[];
}

const lockDirectory = '/run/nsjs';
const lockByte = 0;
const lockRetryMs = 5;
const lockTries = 2000;

/** A sandbox that can be attached to a network, such as a {@link Sandbox}. */
export interface Pluggable {
  readonly net: { readonly namespaces: SocketNamespaces };
  readonly ended: Promise<unknown>;
}

/**
 * A bridge that connects sandboxes and provides addresses and DNS names for them. As root, the bridge is an interface
 * in this process's network namespace. As a user, it is in a network namespace of its own that has no connection to any
 * other network. Linux 5.12 or later.
 */
export class Network implements Switch {
  /** Used by `network: {veth: {network}}`. Opaque. */
  readonly plug: object;
  private readonly bridge: Bridge;
  /**
   * Sockets of this process in the network. Undefined as root: the network is then in this process's own network
   * namespace, where every server can listen.
   */
  readonly net: NamespaceSockets | undefined;

  private constructor(bridge: Bridge) {
    this.plug = bridge;
    this.bridge = bridge;
    const { where } = bridge;
    this.net = where && new NamespaceSockets(() => where);
  }

  /**
   * Creates a network. Rejects with OptionError, OptionRangeError; NsError ERR_NSJS_NETWORK if the subnet is already
   * used on this host, ERR_NSJS_UNSUPPORTED for `nat`, `host` or `forwarding` as a user, or if the host does not
   * forward packets; SysError.
   */
  static async create(options: NetworkCreateOptions = {}): Promise<Network> {
    const spec = parseNetwork(options);
    if (!host().privileged) {
      const stray = (['nat', 'host', 'forwarding'] as const).find((key) => spec[key]);
      if (stray)
        throw new NsError('ERR_NSJS_UNSUPPORTED', `${stray}: needs root; a user's network has no connection to other networks`, {
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
    return this.bridge.name;
  }

  get subnets(): readonly string[] {
    return this.bridge.subnets.map(({ address, prefix }) => `${address}/${prefix}`);
  }

  /** The network's own addresses, which are the gateways and name servers of its sandboxes. */
  get gateways(): readonly string[] {
    return this.bridge.gateways;
  }

  /** Addresses of the sandboxes by alias. */
  get names(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.bridge.names.entries());
  }

  /**
   * Attaches an open sandbox. As a user, the sandbox must have been opened with a network that is set up beforehand
   * (`network: {}` is enough), because this process needs rights over its network namespace. Throws OptionError,
   * SysError, NsError ERR_NSJS_NETWORK, ERR_NSJS_UNSUPPORTED, ERR_NSJS_CLOSED.
   */
  attach(sandbox: Pluggable, options: Omit<VethOptions, 'network'> = {}): Attachment {
    const [spec] = parseVeths({ name: undefined, ...options, network: this }, 'options', 0);
    if (!spec) throw new OptionError('options', 'expected one interface');
    const { netFd, userFd } = sandbox.net.namespaces;
    if (!host().privileged && !isOwnedBy(netFd, this.bridge.where?.userFd))
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'the sandbox created its own network namespace, over which this process has no rights', {
        hint: 'open it with network: {}, or with network: {veth: {network}}',
      });
    const owner = this.bridge.where?.userFd ?? userFd;
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

  /**
   * Forwards a port of the host to a sandbox of the network with nftables. Root only. Throws OptionError, SysError,
   * NsError ERR_NSJS_UNSUPPORTED.
   */
  publish(options: PublishOptions): void {
    const given = parseObject(options, '', ['port', 'to', 'toPort', 'protocol']);
    const port = parseInteger(given.port, 'port', 1, 65_535);
    this.bridge.publish({
      protocol: parseOneOf(given.protocol ?? 'tcp', 'protocol', ['tcp', 'udp']),
      port,
      address: this.addressOf(parseString(given.to, 'to')),
      toPort: given.toPort === undefined ? port : parseInteger(given.toPort, 'toPort', 1, 65_535),
    });
  }

  /** Removes the network. Settles when the removal is complete. Its sandboxes continue without it. */
  async close(): Promise<void> {
    this.net?.close();
    await this.bridge.close();
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

// Loaded on first use, because it also loads the DNS server.
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
    if (cidr.prefix > bits - 2) throw new OptionError(at, 'is too small for a gateway and a sandbox');
    return { ...cidr, address: ipText(networkBytes(cidr)) };
  });
  if (new Set(subnets.map(({ address }) => isIPv4(address))).size < subnets.length)
    throw new OptionError('subnet', 'expected at most one subnet of each address family');
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

// Without a lock, two processes that look for a free subnet at the same time would find the same one.
async function locked<T>(act: () => T): Promise<T> {
  mkdirSync(lockDirectory, { mode: 0o700, recursive: true });
  const fd = openSync(`${lockDirectory}/networks.lock`, 'a', 0o600);
  try {
    for (let attempt = 0; native().lockByte(fd, lockByte) !== 0; attempt++) {
      if (attempt === lockTries)
        throw new NsError('ERR_NSJS_NETWORK', `${lockDirectory}/networks.lock is locked by another process`, {
          hint: 'another process is creating networks; try again',
        });
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
    return act();
  } finally {
    closeSync(fd);
  }
}
