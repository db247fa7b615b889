import { createServer, type Server, type Socket } from 'node:net';
import { debuglog } from 'node:util';
import { NsError, SysError } from '../errors';
import type { EgressSpec } from '../features/egress';
import type { EgressEvent, EgressProgram } from '../features/egress-events';
import { isSpecialAddress } from '../features/egress-rules';
import { canonicalIp } from '../ip';
import type { NetlinkMessage } from '../netlink/message';
import { close } from '../sys/file';
import { inNamespace, type NamespaceRequest, type SocketNamespaces } from '../sys/in-namespace';
import { NetlinkSocket } from '../sys/netlink-socket';
import { socketRequest } from '../sys/socket';
import { DnsServer } from './dns-server';
import { egressPorts, egressRules, localRoutes } from './egress-rules';
import { Gate } from './gate';
import { httpProxy, socksProxy } from './proxy';
import { Refusals, type RefusedPacket } from './refusals';

const debug = debuglog('nsjs');
const backlog = 511;
const dnsPort = 53;

/** Who is told, and who is asked. */
export interface EgressSide {
  tell(event: EgressEvent): void;
  program(protocol: 'tcp' | 'udp', address: string, port: number): EgressProgram | undefined;
}

const localhost = (port: number, six = false) => ({ host: six ? '::1' : '127.0.0.1', port });
const listener = (port: number, six = false): NamespaceRequest =>
  ({
    ...socketRequest({ type: 'stream', bind: localhost(port, six), listen: backlog, transparent: true }),
    optional: six,
  }) as NamespaceRequest;
const resolver = (port: number, six = false): NamespaceRequest =>
  ({ ...socketRequest({ type: 'dgram', bind: localhost(port, six), transparent: true }), optional: six }) as NamespaceRequest;
const filterSocket: NamespaceRequest = { ...socketRequest({ type: 'netlink', protocol: 12 }), optional: true };

/** What must be made in the namespace for it. */
export function egressSockets({ via }: EgressSpec): readonly NamespaceRequest[] {
  if (via === 'ports') return [];
  const { tcp, dns } = egressPorts;
  return [filterSocket, listener(tcp), listener(tcp, true), resolver(dns), resolver(dns, true), filterSocket];
}

/** Where it is: a socket of the namespace, whose loopback interface is up, and what {@link egressSockets} names. */
export interface EgressPlace extends SocketNamespaces {
  readonly route: NetlinkSocket;
  readonly made: readonly number[];
}

const encoded = new WeakMap<EgressSpec, Map<boolean, readonly NetlinkMessage[]>>();

// The rules of one set of options are the same each time.
function rulesOf(spec: EgressSpec, hasSix: boolean): readonly NetlinkMessage[] {
  const known = encoded.get(spec) ?? new Map<boolean, readonly NetlinkMessage[]>();
  encoded.set(spec, known);
  const rules = known.get(hasSix) ?? egressRules(spec, hasSix);
  known.set(hasSix, rules);
  return rules;
}

/** Sockets that take everything that leaves a sandbox, and the gate that decides on it. */
export class Egress {
  readonly gate: Gate;
  /** How connections are taken. */
  readonly via: 'nftables' | 'ports';
  private readonly dns: DnsServer;
  private readonly servers: Server[] = [];
  private refusals: Refusals | undefined;

  /** Takes over what was made in `place`. Throws SysError, NsError ERR_NSJS_UNSUPPORTED. */
  constructor(
    private readonly spec: EgressSpec,
    place: EgressPlace,
    private readonly side: EgressSide,
  ) {
    this.gate = new Gate(spec, (event) => side.tell(event));
    this.dns = new DnsServer(this.gate);
    try {
      this.via = this.take(place);
      if (spec.proxy) this.openProxies(place);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.refusals?.close();
    for (const server of this.servers.splice(0)) server.close();
    this.dns.close();
    this.gate.close();
  }

  private take(place: EgressPlace): 'nftables' | 'ports' {
    if (this.spec.via !== 'ports') {
      try {
        this.takeAll(place);
        return 'nftables';
      } catch (error) {
        if (this.spec.via === 'nftables' || !isMissing(error)) throw error;
        debug('no transparent egress by nftables: %s', (error as Error).message);
      }
    }
    this.takePorts(place);
    return 'ports';
  }

  private takeAll({ route, made }: EgressPlace): void {
    const [filterFd = -1, tcp = -1, tcpSix = -1, udp = -1, udpSix = -1, logFd = -1] = made;
    const hasSix = tcpSix >= 0 && udpSix >= 0;
    try {
      if (filterFd < 0) throw new SysError({ errno: 93, syscall: 'socket', origin: 'network.egress' });
      for (const message of localRoutes(hasSix)) route.request(message, 'network.egress');
      new NetlinkSocket(filterFd).batch(rulesOf(this.spec, hasSix), 'network.egress');
    } catch (error) {
      for (const fd of [tcp, tcpSix, udp, udpSix, logFd]) if (fd >= 0) close(fd);
      throw error;
    } finally {
      if (filterFd >= 0) close(filterFd);
    }
    this.listen(tcp);
    if (tcpSix >= 0) this.listen(tcpSix);
    this.dns.listen(udp, 'udp4');
    if (udpSix >= 0) this.dns.listen(udpSix, 'udp6');
    if (logFd >= 0) this.refusals = Refusals.watch(logFd, (packet) => this.onRefusal(packet));
  }

  // Without nftables a listener for each port stands in the way of what programs listen on themselves.
  private takePorts({ route, ...where }: EgressPlace): void {
    for (const message of localRoutes(false)) {
      try {
        route.request(message, 'network.egress');
      } catch (error) {
        if (!(error instanceof SysError && error.code === 'EEXIST')) throw error;
      }
    }
    const every = (port: number): NamespaceRequest => socketRequest({ type: 'stream', bind: { host: '0.0.0.0', port }, listen: backlog });
    const ports = [...new Set([dnsPort, ...portsOf(this.spec)])];
    const udp = socketRequest({ type: 'dgram', bind: { host: '0.0.0.0', port: dnsPort } });
    const [names = -1, ...listeners] = inNamespace(where, [udp, ...ports.map(every)]);
    this.dns.listen(names, 'udp4');
    for (const fd of listeners) this.listen(fd);
  }

  private listen(fd: number): void {
    this.serve(
      createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.onConnection(socket)),
      fd,
    );
  }

  private serve(server: Server, fd: number): void {
    server.maxConnections = this.spec.connections;
    server.on('drop', (data) => this.refusedByLimit(data?.localAddress, data?.localPort));
    server.on('error', (error) => debug('network.egress: %s', error.message));
    server.listen({ fd });
    server.unref();
    this.servers.push(server);
  }

  private openProxies(where: SocketNamespaces): void {
    const program = (socket: Socket) => this.asker(socket);
    const bound = [egressPorts.httpProxy, egressPorts.socks].map((port) =>
      socketRequest({ type: 'stream', bind: localhost(port), listen: backlog }),
    );
    const [http = -1, socks = -1] = inNamespace(where, bound);
    this.serve(httpProxy(this.gate, program), http);
    this.serve(socksProxy(this.gate, program), socks);
  }

  private asker(socket: Socket): () => EgressProgram | undefined {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) return () => undefined;
    return () => this.side.program('tcp', canonicalIp(remoteAddress), remotePort);
  }

  private onConnection(socket: Socket): void {
    const { localAddress, localPort } = socket;
    if (localAddress === undefined || localPort === undefined) socket.destroy();
    else if (localPort === dnsPort) this.dns.serve(socket);
    else if (this.gate.size >= this.spec.connections) {
      this.refusedByLimit(localAddress, localPort);
      socket.resetAndDestroy();
    } else this.gate.take(socket, localAddress, localPort, this.asker(socket));
  }

  private onRefusal({ protocol, address, port, source, sourcePort }: RefusedPacket): void {
    const program = protocol === 'other' ? undefined : this.side.program(protocol, source, sourcePort);
    const reason = protocol === 'tcp' && isSpecialAddress(address) ? 'special-address' : 'unlisted';
    this.gate.refused({ address, port, protocol, reason, ...(program ? { program } : {}) });
  }

  private refusedByLimit(address: string | undefined, port: number | undefined): void {
    this.gate.refused({
      address: canonicalIp(address ?? '0.0.0.0'),
      port: port ?? 0,
      protocol: 'tcp',
      reason: 'limit',
      detail: 'connections',
    });
  }
}

// No such table, rule or protocol in this kernel, or none for this user namespace.
function isMissing(error: unknown): boolean {
  return error instanceof SysError && ['EPROTONOSUPPORT', 'EOPNOTSUPP', 'ENOENT', 'EPERM', 'EINVAL'].includes(error.code);
}

const defaultPorts = [80, 443] as const;
const maxListeners = 64;

function portsOf({ allow, services }: EgressSpec): readonly number[] {
  const ports = new Set<number>(services.map(({ port }) => port));
  for (const { ports: range } of allow) {
    const [first, last] = range;
    if (first === 1 && last === 65_535) for (const port of defaultPorts) ports.add(port);
    else for (let port = first; port <= last && ports.size <= maxListeners; port++) ports.add(port);
  }
  if (ports.size === 0) for (const port of defaultPorts) ports.add(port);
  if (ports.size > maxListeners)
    throw new NsError('ERR_NSJS_UNSUPPORTED', `network.egress: without nftables at most ${maxListeners} ports can be taken`, {
      hint: 'name fewer ports, or load nf_tables and nft_tproxy',
    });
  return [...ports];
}
