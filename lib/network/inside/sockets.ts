import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Agent } from 'node:http';
import type { Agent as SecureAgent } from 'node:https';
import { type AddressInfo, createServer, isIP, isIPv6, type Server, Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { NsError, OptionError } from '../../base/errors';
import { parseInteger, parseObject, parseOneOf, parseString } from '../../base/parse';
import type { NamespaceHandle } from '../../features/namespaces';
import { type SocketNamespaces, type SocketRequest, socketIn } from '../../sys/socket';
import { Capture, type CaptureOptions, parseCapture } from './capture';

const backlog = 511;
const maxPort = 65_535;

// Only addresses are accepted: the host would resolve a name, and the result would be meaningless in the namespace.
function parseAddress(host: unknown): string {
  const address = parseString(host, 'host');
  if (isIP(address) === 0 || address.includes('%')) throw new OptionError('host', `expected an IP address, received '${address}'`);
  return address;
}

const closedError = () => new NsError('ERR_NSJS_CLOSED', 'the network namespace is closed');

// Most sandboxes need neither HTTP nor TLS, so these modules are loaded on first use.
const httpInside = () => require('./http') as typeof import('./http');

/** A port of the host that is forwarded to a port in the namespace. */
export interface PublishedSocket {
  /** Port in the namespace. */
  readonly to: number;
  /** Address in the namespace. Default: 127.0.0.1. */
  readonly toHost?: string;
  /** Port of the host. Default: any free port. */
  readonly port?: number;
  /** Address of the host. Default: 127.0.0.1, which only this machine can reach. */
  readonly host?: string;
}

/** An object of this process that keeps a socket in the namespace open. */
interface Resource {
  close(): void;
}

/**
 * Node's own sockets in another network namespace. They belong to this process and its event loop, and only processes
 * in that namespace can reach them. They need no process and no interface there, and no rights except over the
 * namespace (setns(2), Linux 3.8).
 */
export class NamespaceSockets {
  private readonly resources = new Set<Resource>();
  private agents: { readonly http: Agent; readonly https: SecureAgent } | undefined;
  private isClosed = false;

  /** @internal `find` returns the descriptors. It throws if the namespace no longer exists. */
  constructor(private readonly find: () => SocketNamespaces) {}

  /** Descriptors of the namespaces. Throws NsError ERR_NSJS_CLOSED after the sandbox has been closed. */
  get namespaces(): SocketNamespaces {
    return this.find();
  }

  /** Value for `network: {share}`. */
  get handle(): NamespaceHandle {
    return { type: 'net', fd: this.find().netFd };
  }

  /**
   * Makes a server of this process (`net`, `http`, `https`) listen in the namespace. `host` defaults to all IPv4
   * addresses. Ports below 1024 need no privileges. Rejects with a SysError: EADDRINUSE, EADDRNOTAVAIL; OptionError,
   * OptionRangeError.
   */
  async listen(server: Server, port: number, host = '0.0.0.0'): Promise<void> {
    const bind = { host: parseAddress(host), port: parseInteger(port, 'port', 0, maxPort) };
    if (typeof server?.listen !== 'function')
      throw new OptionError('server', 'expected a server of net, http or https', 'ERR_INVALID_ARG_TYPE');
    if (server.listening) throw new OptionError('server', 'is already listening');
    const fd = this.make({ type: 'stream', bind, listen: backlog });
    const listening = once(server, 'listening');
    server.listen({ fd });
    this.own(server, () => server.close());
    await listening;
  }

  /**
   * Connects to a server in the namespace. `host` defaults to its loopback address. The socket emits `connect` or
   * `error` as usual.
   */
  connect(port: number, host = '127.0.0.1'): Socket {
    parseInteger(port, 'port', 1, maxPort);
    return this.socket(isIPv6(parseAddress(host)) ? 'tcp6' : 'tcp4').connect({ host, port });
  }

  /** Returns a UDP socket in the namespace, bound to `port` (default: any) of `host` (default: every IPv4 address). */
  async udp(port = 0, host = '0.0.0.0'): Promise<DatagramSocket> {
    const bind = { host: parseAddress(host), port: parseInteger(port, 'port', 0, maxPort) };
    const fd = this.make({ type: 'dgram', bind });
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const listening = once(socket, 'listening');
    socket.bind({ fd });
    this.own(socket, () => socket.close());
    await listening;
    return socket;
  }

  /**
   * Returns an unconnected socket in the namespace. `'tcp4'` and `'tcp6'` return a `net` socket to be connected with
   * `connect()`. `'udp4'` and `'udp6'` return a `dgram` socket that can be used immediately.
   */
  socket(type: 'tcp4' | 'tcp6'): Socket;
  socket(type: 'udp4' | 'udp6'): Promise<DatagramSocket>;
  socket(type: 'tcp4' | 'tcp6' | 'udp4' | 'udp6'): Socket | Promise<DatagramSocket> {
    const wanted = parseOneOf(type, 'type', ['tcp4', 'tcp6', 'udp4', 'udp6']);
    const isSix = wanted.endsWith('6');
    if (wanted.startsWith('udp')) return this.udp(0, isSix ? '::' : '0.0.0.0');
    const socket = new Socket({ fd: this.make({ type: 'stream', family: isSix ? 'inet6' : 'inet' }), readable: true, writable: true });
    this.own(socket, () => socket.destroy());
    return socket;
  }

  /**
   * An `http.Agent` that connects in the namespace: `http.get({port: 8080, agent: sandbox.net.agent})`. The only
   * supported host name is `localhost`; other hosts must be IP addresses.
   */
  get agent(): Agent {
    this.agents ??= this.makeAgents();
    return this.agents.http;
  }

  /**
   * Performs a fetch that connects in the namespace: `sandbox.net.fetch('http://localhost:8080/')`. Redirects are not
   * followed. Rejects as `http.request` does, for example with ECONNREFUSED.
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    this.agents ??= this.makeAgents();
    return httpInside().fetchInside(this.agents, input, init);
  }

  /**
   * Forwards a port of the host to a port in the namespace through this process. Needs no rights and creates no
   * firewall rules. `host` defaults to 127.0.0.1. Port 0 selects any free port. Resolves with the actual address.
   * Rejects with the errors of listening: EADDRINUSE, EACCES.
   */
  async publish(options: PublishedSocket): Promise<{ readonly host: string; readonly port: number; close(): void }> {
    const given = parseObject(options, '', ['port', 'to', 'host', 'toHost']);
    const to = parseInteger(given.to, 'to', 1, maxPort);
    const host = given.host === undefined ? '127.0.0.1' : parseAddress(given.host);
    const toHost = given.toHost === undefined ? '127.0.0.1' : parseAddress(given.toHost);
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => this.relay(socket, to, toHost));
    const listening = once(server, 'listening');
    server.listen({ host, port: parseInteger(given.port ?? 0, 'port', 0, maxPort) });
    await listening;
    this.own(server, () => server.close());
    const { address, port } = server.address() as AddressInfo;
    return { host: address, port, close: () => server.close() };
  }

  /**
   * Captures every frame of the namespace in pcapng format, which Wireshark and tcpdump read. The stream ends with the
   * sandbox, or when it is destroyed. Throws SysError: EPERM.
   */
  capture(options: CaptureOptions = {}): Readable {
    const snapLength = parseCapture(options);
    if (this.isClosed) throw closedError();
    const capture = new Capture(this.find(), snapLength);
    const resource = { close: () => capture.end() };
    this.resources.add(resource);
    capture.once('close', () => this.resources.delete(resource));
    return capture;
  }

  /** Closes all sockets, because an open socket keeps its namespace alive. */
  close(): void {
    this.isClosed = true;
    for (const resource of [...this.resources]) resource.close();
    this.resources.clear();
    this.agents?.http.destroy();
    this.agents?.https.destroy();
  }

  private makeAgents(): { readonly http: Agent; readonly https: SecureAgent } {
    const connect = (port: number, host: string) => this.connect(port, host);
    const { agentInside, secureAgentInside } = httpInside();
    return { http: agentInside(connect), https: secureAgentInside(connect) };
  }

  private relay(socket: Socket, port: number, host: string): void {
    const inside = this.connectIfOpen(port, host);
    if (!inside) {
      socket.destroy();
      return;
    }
    const end = () => {
      socket.destroy();
      inside.destroy();
    };
    for (const side of [socket, inside]) side.on('error', end);
    socket.pipe(inside).pipe(socket);
  }

  // The sandbox may have ended while a client was connecting.
  private connectIfOpen(port: number, host: string): Socket | undefined {
    try {
      return this.connect(port, host);
    } catch {
      return undefined;
    }
  }

  private make(request: SocketRequest): number {
    if (this.isClosed) throw closedError();
    const [fd = -1] = socketIn(this.find(), [request]);
    return fd;
  }

  private own(emitter: Server | Socket | DatagramSocket, close: () => void): void {
    const connections = new Set<Socket>();
    const resource = {
      close() {
        try {
          close();
        } catch {
          // Already closed by its user.
        }
        for (const connection of connections) connection.destroy();
      },
    };
    this.resources.add(resource);
    emitter.on('connection', (connection: Socket) => {
      connections.add(connection);
      connection.once('close', () => connections.delete(connection));
    });
    emitter.once('close', () => this.resources.delete(resource));
  }
}
