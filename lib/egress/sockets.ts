import { debuglog } from 'node:util';
import { errnos } from '../base/errnos';
import { NsError, SysError } from '../base/errors';
import { bare } from '../base/parse';
import type { EgressSpec } from '../features/egress';
import { netlinkProtocols } from '../netlink/message';
import { close } from '../sys/file';
import { inNamespace, type NamespaceRequest, type SocketNamespaces } from '../sys/in-namespace';
import { NetlinkSocket, type PreparedBatch, prepareBatch } from '../sys/netlink-socket';
import { type SocketRequest, socketRequest } from '../sys/socket';
import { egressPorts, egressRules, localRoutes } from './nft-rules';

const debug = debuglog('nsjs');
const backlog = 511;
const dnsPort = 53;

/** Descriptors of sockets in a sandbox's network namespace, at which its connections and queries arrive. */
export interface EgressSockets {
  readonly via: 'nftables' | 'ports';
  /** Listening sockets. */
  readonly tcp: readonly number[];
  /** Bound sockets for DNS queries. */
  readonly dns: readonly { readonly fd: number; readonly type: 'udp4' | 'udp6' }[];
  /** The netlink socket on which the kernel logs packets that it has refused by itself. */
  readonly log?: number;
  /** Socket of sock_diag(7), used to find the program that owns a connection. */
  readonly diag?: number;
  readonly proxies?: { readonly http: number; readonly socks: number };
}

const localhost = (port: number, six = false) => ({ host: six ? '::1' : '127.0.0.1', port });
const optional = (request: SocketRequest): NamespaceRequest => ({ ...socketRequest(request), optional: true });
const listener = (port: number, six = false): SocketRequest => ({
  type: 'stream',
  bind: localhost(port, six),
  listen: backlog,
  transparent: true,
});
const resolver = (port: number, six = false): SocketRequest => ({ type: 'dgram', bind: localhost(port, six), transparent: true });
const filterSocket = optional({ type: 'netlink', protocol: netlinkProtocols.netfilter });
const diagSocket = optional({ type: 'netlink', protocol: netlinkProtocols.sockDiag });

/** Returns the requests for the sockets that must be created in the namespace. */
export function egressRequests({ via }: EgressSpec): readonly NamespaceRequest[] {
  if (via === 'ports') return [diagSocket];
  const { tcp, dns } = egressPorts;
  const own = [socketRequest(listener(tcp)), optional(listener(tcp, true)), socketRequest(resolver(dns)), optional(resolver(dns, true))];
  return [filterSocket, ...own, filterSocket, diagSocket];
}

/**
 * Network namespace of the egress, whose loopback interface is up. `route` is a netlink socket in it; `made` holds the
 * results of {@link egressRequests}.
 */
export interface EgressPlace extends SocketNamespaces {
  readonly route: NetlinkSocket;
  readonly made: readonly number[];
}

/**
 * Sets up the egress of the namespace. Takes ownership of `place.made`. Throws SysError or NsError
 * ERR_NSJS_UNSUPPORTED, with all of these descriptors closed.
 */
export function openEgress(spec: EgressSpec, place: EgressPlace): EgressSockets {
  const sockets = withDiag(spec, place);
  if (!spec.proxy) return sockets;
  try {
    const bound = [egressPorts.httpProxy, egressPorts.socks].map((port) =>
      socketRequest({ type: 'stream', bind: localhost(port), listen: backlog }),
    );
    const [http = -1, socks = -1] = inNamespace(place, bound);
    return bare({ ...sockets, proxies: { http, socks } });
  } catch (error) {
    closeEgress(sockets);
    throw error;
  }
}

function withDiag(spec: EgressSpec, { made, ...place }: EgressPlace): EgressSockets {
  const diag = made.at(-1) ?? -1;
  try {
    const sockets = takeAnyhow(spec, { ...place, made: made.slice(0, -1) });
    return bare(diag < 0 ? sockets : { ...sockets, diag });
  } catch (error) {
    if (diag >= 0) close(diag);
    throw error;
  }
}

/** Closes the sockets, if no server has taken ownership of them. */
export function closeEgress({ tcp, dns, log, diag, proxies }: EgressSockets): void {
  const others = [log, diag, proxies?.http, proxies?.socks].filter((fd) => fd !== undefined);
  for (const fd of [...tcp, ...dns.map((one) => one.fd), ...others]) close(fd);
}

function takeAnyhow(spec: EgressSpec, place: EgressPlace): EgressSockets {
  if (spec.via !== 'ports') {
    try {
      return takeAll(spec, place);
    } catch (error) {
      if (spec.via === 'nftables' || !isMissing(error)) throw error;
      debug('no transparent egress by nftables: %s', (error as Error).message);
    }
  }
  return takePorts(spec, place);
}

function takeAll(spec: EgressSpec, { route, made }: EgressPlace): EgressSockets {
  const [filterFd = -1, tcp = -1, tcpSix = -1, udp = -1, udpSix = -1, logFd = -1] = made;
  const hasSix = tcpSix >= 0 && udpSix >= 0;
  const isOpen = (fd: number) => fd >= 0;
  try {
    if (filterFd < 0) throw new SysError({ errno: errnos.EPROTONOSUPPORT, syscall: 'socket', origin: 'network.egress' });
    for (const message of localRoutes(hasSix)) route.request(message, 'network.egress');
    new NetlinkSocket(filterFd).prepared(rulesOf(spec, hasSix), 'network.egress');
  } catch (error) {
    for (const fd of [tcp, tcpSix, udp, udpSix, logFd].filter(isOpen)) close(fd);
    throw error;
  } finally {
    if (filterFd >= 0) close(filterFd);
  }
  const dns = [
    { fd: udp, type: 'udp4' },
    { fd: udpSix, type: 'udp6' },
  ] as const;
  return {
    via: 'nftables',
    tcp: [tcp, tcpSix].filter(isOpen),
    dns: dns.filter(({ fd }) => isOpen(fd)),
    ...(isOpen(logFd) ? { log: logFd } : {}),
  };
}

// Without nftables there is a listener for each port, on which programs inside then cannot listen themselves.
function takePorts(spec: EgressSpec, { route, ...where }: EgressPlace): EgressSockets {
  for (const message of localRoutes(false)) {
    try {
      route.request(message, 'network.egress');
    } catch (error) {
      if (!(error instanceof SysError && error.code === 'EEXIST')) throw error;
    }
  }
  const every = (port: number): NamespaceRequest => socketRequest({ type: 'stream', bind: { host: '0.0.0.0', port }, listen: backlog });
  const ports = [...new Set([dnsPort, ...portsOf(spec)])];
  const udp = socketRequest({ type: 'dgram', bind: { host: '0.0.0.0', port: dnsPort } });
  const [names = -1, ...listeners] = inNamespace(where, [udp, ...ports.map(every)]);
  return { via: 'ports', tcp: listeners, dns: [{ fd: names, type: 'udp4' }] };
}

const maxPrepared = 64;
const known = new Map<string, PreparedBatch>();

// Rules are cached: most sandboxes have the same, and encoding them takes half of the set-up time.
function rulesOf(spec: EgressSpec, hasSix: boolean): PreparedBatch {
  const { allow, services, onConnect } = spec;
  const key = JSON.stringify([hasSix, onConnect !== undefined, allow, services.map(({ host }) => host)]);
  const rules = known.get(key) ?? prepareBatch(egressRules(spec, hasSix));
  if (known.size >= maxPrepared) known.clear();
  known.set(key, rules);
  return rules;
}

// The kernel has no such table, rule or protocol, or none for this user namespace.
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
    throw new NsError('ERR_NSJS_UNSUPPORTED', `network.egress: without nftables at most ${maxListeners} ports can be intercepted`, {
      hint: 'list fewer ports in allow and services, or load the kernel modules nf_tables and nft_tproxy',
    });
  return [...ports];
}
