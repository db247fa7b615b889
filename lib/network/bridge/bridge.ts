import { readFileSync } from 'node:fs';
import { debuglog } from 'node:util';
import { NsError, SysError } from '../../base/errors';
import { type Cidr, cidrContains } from '../../base/ip';
import { host } from '../../host/host';
import { decodeLink } from '../../netlink/decode';
import { createLink, createVeth, deleteLink, dumpLinks, setAlias, setIsolated, setLinkUp, setMaster } from '../../netlink/link';
import { deleteTable } from '../../netlink/nftables';
import { addAddress } from '../../netlink/route';
import { close } from '../../sys/file';
import { inNamespace, type NamespaceRequest, type SocketNamespaces } from '../../sys/in-namespace';
import { NetlinkSocket } from '../../sys/netlink-socket';
import { socketRequest } from '../../sys/socket';
import { AddressPool } from '../addresses';
import { freshName, linkOf, type Socketed, type WireEnd } from '../setup/interfaces';
import { makeNetNamespace, releaseOwner } from '../setup/net-namespace';
import { LanNames } from './dns';
import { bridgeRules, type PublishedPort, publishRules, tableOf } from './nft-rules';
import { checkFree, freeSubnet } from './subnets';

const debug = debuglog('nsjs');
const dnsPort = 53;

/** {@link NetworkCreateOptions} after parsing. */
export interface BridgeSpec {
  /** At most one subnet of each address family. Empty: a free IPv4 subnet is chosen. */
  readonly subnets: readonly Cidr[];
  readonly nat: boolean;
  readonly isolated: boolean;
  readonly host: boolean;
  readonly mtu?: number;
  readonly forwarding: boolean;
}

const ignoreGone = (error: unknown): void => {
  if (!(error instanceof SysError && error.code === 'ENODEV')) throw error;
};

/** Bridges of this process. Their subnets must not overlap, because a sandbox may be attached to several of them. */
const live = new Set<Bridge>();

/**
 * A bridge and the resources that belong to it. As root they are in this process's network namespace, as a user in one
 * of their own.
 */
export class Bridge {
  readonly name = freshName('nsjs-');
  readonly subnets: readonly Cidr[];
  readonly names: LanNames;
  /** Namespaces of the bridge. Undefined if it is in this process's own network namespace. */
  readonly where: SocketNamespaces | undefined;
  private readonly pools: readonly AddressPool[];
  private readonly route: NetlinkSocket;
  private readonly index: number;
  private readonly wires = new Set<Socketed>();
  private hasTable = false;
  private isClosed = false;

  /**
   * Throws SysError, NsError. On error nothing is left behind. `owner` marks the bridge as belonging to this process.
   */
  constructor(
    private readonly spec: BridgeSpec,
    owner: string,
  ) {
    const isRoot = host().privileged;
    const made = isRoot ? undefined : makeNetNamespace(true);
    this.where = made && { netFd: made.netFd, ...(made.userFd === undefined ? {} : { userFd: made.userFd }) };
    this.route = made?.route ?? NetlinkSocket.open('route');
    this.names = new LanNames(spec.nat);
    try {
      this.subnets =
        spec.subnets.length > 0
          ? spec.subnets
          : [
              freeSubnet(
                this.route,
                [...live].flatMap(({ subnets }) => subnets),
              ),
            ];
      if (isRoot) checkFree(this.route, this.subnets);
      this.pools = this.subnets.map((subnet) => new AddressPool(subnet));
      this.route.request(createLink('bridge', { name: this.name, ...(spec.mtu === undefined ? {} : { mtu: spec.mtu }) }), 'Network');
      this.index = linkOf(this.route, this.name).index;
      this.setUp(owner);
      live.add(this);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  get gateways(): readonly string[] {
    return this.pools.map(({ gateway }) => gateway);
  }

  /** Attaches a sandbox. The end inside is in its namespace when this returns. */
  wire(end: WireEnd): Socketed {
    if (this.isClosed) throw new NsError('ERR_NSJS_CLOSED', 'the network is closed');
    const { alias, origin, netFd, name, mac } = end;
    const mtu = end.mtu ?? this.spec.mtu;
    if (alias !== undefined && this.names.has(alias))
      throw new NsError('ERR_NSJS_NETWORK', `${origin}: the alias '${alias}' is already used in the network`, {
        hint: 'choose another alias',
      });
    const addresses = this.takeAddresses(end.addresses);
    const outside = freshName('nsv-');
    const wire: Socketed = {
      addresses,
      gateways: this.spec.nat || this.spec.host ? this.gateways : [],
      resolvers: this.gateways,
      ...(mtu === undefined ? {} : { mtu }),
      release: () => this.unplug(wire, alias),
    };
    this.wires.add(wire);
    try {
      const settings = mtu === undefined ? {} : { mtu };
      const inside = { name, netNsFd: netFd, ...settings, ...(mac === undefined ? {} : { mac }) };
      this.route.request(createVeth({ name: outside, ...settings }, inside), origin);
      const { index } = linkOf(this.route, outside, origin);
      this.route.request(setMaster(index, this.index), origin);
      if (this.spec.isolated) this.route.request(setIsolated(index, true), origin);
      this.route.request(setLinkUp(index), origin);
    } catch (error) {
      wire.release();
      throw error;
    }
    if (alias !== undefined) {
      this.names.set(
        alias,
        addresses.map(({ address }) => address),
      );
    }
    return wire;
  }

  /** Forwards a port of the host. Root only. */
  publish(port: PublishedPort): void {
    if (this.where)
      throw new NsError('ERR_NSJS_UNSUPPORTED', 'without root, a network cannot publish ports of the host', {
        hint: 'use sandbox.net.publish',
      });
    this.filter((filter) => filter.batch(publishRules(this.name, port), 'publish'));
  }

  /** Removes the network. Settles when the removal is complete. Its sandboxes continue without it. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    live.delete(this);
    this.names.close();
    if (this.where) this.leave();
    else {
      // The rules must remain until the bridge is gone.
      await this.route.requestLater(deleteLink(this.index), 'Network').catch(ignoreGone);
      if (this.hasTable) this.filter((filter) => filter.batch([deleteTable(tableOf(this.name))], 'Network'));
      this.route.close();
    }
  }

  private setUp(owner: string): void {
    const { spec, route, index } = this;
    route.request(setAlias(index, owner), 'Network');
    for (const [at, subnet] of this.subnets.entries())
      route.request(addAddress(index, { address: this.pools[at]?.gateway ?? '', prefix: subnet.prefix }), 'Network');
    if (!this.where) {
      // The rules come first, so that the bridge is never reachable without them.
      this.checkForwarding();
      inNamespace({}, [{ kind: 'write', path: `/proc/sys/net/ipv6/conf/${this.name}/accept_ra`, text: '0', optional: true }]);
      this.filter((filter) =>
        filter.batch(bridgeRules({ ...spec, bridge: this.name, subnets: this.subnets, gateways: this.gateways }), 'Network'),
      );
      this.hasTable = true;
    }
    route.request(setLinkUp(index), 'Network');
    const wanted = this.gateways.map(
      (gateway): NamespaceRequest => socketRequest({ type: 'dgram', bind: { host: gateway, port: dnsPort } }),
    );
    const fds = inNamespace(this.where ?? {}, wanted);
    for (const [at, fd] of fds.entries()) this.names.listen(fd, this.gateways[at]?.includes(':') ? 'udp6' : 'udp4');
  }

  // Only the administrator should decide whether a machine becomes a router.
  private checkForwarding(): void {
    const { nat, forwarding } = this.spec;
    if (!nat) return;
    const files = [...new Set(this.subnets.map(({ address }) => (address.includes(':') ? 'ipv6/conf/all/forwarding' : 'ipv4/ip_forward')))];
    for (const file of files) {
      const path = `/proc/sys/net/${file}`;
      if (readFileSync(path, 'latin1').trim() !== '0') continue;
      const name = path.slice('/proc/sys/'.length).replaceAll('/', '.');
      if (!forwarding)
        throw new NsError('ERR_NSJS_UNSUPPORTED', `nat: packet forwarding is disabled on this host (${name} is 0)`, {
          hint: `set it with sysctl -w ${name}=1, or set forwarding: true`,
        });
      inNamespace({}, [{ kind: 'write', path, text: '1' }]);
    }
  }

  private takeAddresses(wanted: readonly Cidr[]): readonly Cidr[] {
    const taken: { readonly pool: AddressPool; readonly address: string }[] = [];
    const outside = wanted.find(({ address }) => !this.subnets.some((subnet) => cidrContains(subnet, address)));
    if (outside) throw new NsError('ERR_NSJS_NETWORK', `${outside.address} is not in any subnet of the network`);
    try {
      for (const pool of this.pools) {
        const own = wanted.filter(({ address }) => cidrContains(pool.subnet, address));
        for (const address of own.length > 0 ? own.map((one) => one.address) : [undefined])
          taken.push({ pool, address: pool.take(address) });
      }
    } catch (error) {
      for (const { pool, address } of taken) pool.give(address);
      throw error;
    }
    return taken.map(({ pool, address }) => ({ address, prefix: pool.subnet.prefix }));
  }

  private unplug(wire: Socketed, alias: string | undefined): void {
    if (!this.wires.delete(wire)) return;
    if (alias !== undefined) this.names.delete(alias);
    for (const { address } of wire.addresses) this.pools.find(({ subnet }) => cidrContains(subnet, address))?.give(address);
  }

  private filter(act: (socket: NetlinkSocket) => void): void {
    const socket = NetlinkSocket.open('netfilter');
    try {
      act(socket);
    } finally {
      socket.close();
    }
  }

  private abandon(): void {
    this.names.close();
    if (this.where) this.leave();
    else {
      try {
        const own = this.route.get(dumpLinks()).flatMap((message) => decodeLink(message) ?? []);
        const index = own.find(({ name }) => name === this.name)?.index;
        if (index !== undefined) this.route.request(deleteLink(index));
        if (this.hasTable) this.filter((filter) => filter.batch([deleteTable(tableOf(this.name))]));
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        debug('Network: %s', error.message);
      }
      this.route.close();
    }
  }

  private leave(): void {
    this.route.close();
    if (this.where) close(this.where.netFd);
    releaseOwner();
  }
}
