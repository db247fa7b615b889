import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Connection, countSocket } from './connection';
import { answer, checkShape, closing, endToEnd, hasBody, headSize, headText, hostOf, namesIn, pathOf } from './http-text';
import { Refusal } from './refusal';

/** State of one HTTP connection of a program. */
interface Served {
  readonly connection: Connection;
  readonly agent: Agent;
  /** Requests whose response is not complete. */
  pending: number;
}

/** Maximum number of pending requests. Clients do not send more before they receive a response. */
const maxPending = 16;

/**
 * Provides one socket to the server at a time: first the one that is connected already, then new ones from `dial`, each
 * to the destination that was decided on.
 */
class OneServer extends Agent {
  constructor(
    private first: Socket | undefined,
    private readonly dial: () => Promise<Socket>,
  ) {
    super({ keepAlive: true, maxSockets: 1 });
  }

  override createConnection(_: object, done: (error: Error | null, socket: Duplex) => void = () => {}): undefined {
    const { first } = this;
    this.first = undefined;
    if (first && !first.destroyed) {
      done(null, first);
      // The socket was read before and is paused. The request adds its listeners in the next tick, so resume it after
      // that.
      process.nextTick(() => first.resume());
    } else
      this.dial().then(
        (socket) => done(null, socket),
        (error: Error) => done(error, undefined as never),
      );
  }
}

/**
 * Relays clear-text HTTP request by request. Node's strict parser reads each request, which must be for the host of its
 * connection, and it is serialized again. So no bytes are passed on that another parser could interpret as a further
 * request.
 */
export class HttpFront {
  private readonly server: Server;
  private readonly served = new WeakMap<Duplex, Served>();

  constructor() {
    this.server = createServer({ requireHostHeader: false, insecureHTTPParser: false, joinDuplicateHeaders: false });
    this.server.on('request', (message, response) => this.onRequest(message, response));
    this.server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => this.onUpgrade(message, socket, head));
    this.server.on('connect', (message: IncomingMessage, socket: Duplex) => this.stop(message, socket, new Refusal('protocol', 'CONNECT')));
    this.server.on('checkExpectation', (message: IncomingMessage, response: ServerResponse) => {
      this.served.get(message.socket)?.connection.refuse(new Refusal('protocol', `expect: ${message.headers.expect}`));
      answer(response, 417, 'the Expect header supports only 100-continue');
    });
    this.server.on('clientError', (error: Error, socket: Duplex) => this.onClientError(error, socket));
  }

  /**
   * Serves a program that has begun to send HTTP. `first` is connected to the destination that was decided on; `dial`
   * opens another socket to it.
   */
  serve(connection: Connection, socket: Duplex, first: Socket, dial: () => Promise<Socket>): void {
    const agent = new OneServer(first, dial);
    this.served.set(socket, { connection, agent, pending: 0 });
    socket.once('close', () => agent.destroy());
    countSocket(connection, socket);
    this.server.emit('connection', socket);
    socket.resume();
  }

  close(): void {
    this.server.closeAllConnections();
  }

  private checked(message: IncomingMessage): Served {
    const served = this.served.get(message.socket);
    if (!served) throw new Refusal('protocol');
    checkShape(message);
    checkHost(served.connection, message);
    return served;
  }

  private onRequest(message: IncomingMessage, response: ServerResponse): void {
    try {
      const served = this.checked(message);
      const { connection, agent } = served;
      if (++served.pending > maxPending) {
        connection.refuse(new Refusal('limit', 'requests'));
        message.socket.destroy();
        return;
      }
      response.once('close', () => served.pending--);
      connection.request('http', { method: message.method ?? '', path: pathOf(message) });
      forward(connection, agent, message, response);
    } catch (error) {
      this.served.get(message.socket)?.connection.refuse(error);
      answer(response, 403, (error as Error).message);
    }
  }

  // A WebSocket is for the host that its request names. Any other protocol could be for any host.
  private onUpgrade(message: IncomingMessage, socket: Duplex, head: Buffer): void {
    try {
      const { connection, agent } = this.checked(message);
      if (hasBody(message) || message.method !== 'GET') throw new Refusal('protocol', 'an upgrade with a body');
      if (message.headers.upgrade?.toLowerCase() !== 'websocket') throw new Refusal('protocol', `upgrade to ${message.headers.upgrade}`);
      connection.request('http', { method: message.method ?? '', path: pathOf(message) });
      const headers = [...forwarded(connection, message), 'Connection', 'Upgrade', 'Upgrade', 'websocket'];
      const outgoing = request({ agent, method: message.method, path: pathOf(message), setHost: false, headers });
      outgoing.on('upgrade', (incoming, other, rest) => {
        socket.write(headText(incoming, incoming.rawHeaders));
        if (rest.length > 0) socket.write(rest);
        if (head.length > 0) other.write(head);
        other.on('error', () => socket.destroy());
        socket.once('close', () => other.destroy());
        connection.join(other, socket, 'received');
        connection.join(socket, other, 'sent');
      });
      // Node has decoded the framing of the body, so the end of the connection marks the end of the body.
      outgoing.on('response', (incoming) => {
        socket.write(headText(incoming, [...endToEnd(incoming.rawHeaders), 'Connection', 'close']));
        incoming.on('error', () => socket.destroy());
        connection.join(incoming, socket, 'received');
      });
      outgoing.on('error', () => socket.destroy());
      outgoing.end();
    } catch (error) {
      this.stop(message, socket, error as Error);
    }
  }

  private stop(message: IncomingMessage, socket: Duplex, error: Error): void {
    this.served.get(message.socket)?.connection.refuse(error);
    socket.end(closing(403, error.message));
  }

  private onClientError(error: Error, socket: Duplex): void {
    this.served.get(socket)?.connection.refuse(new Refusal('protocol', error.message));
    if (socket.writable) socket.end(closing(400, 'malformed HTTP'));
    else socket.destroy();
  }
}

/** Throws a Refusal if a request is for another host than its connection, or names a denied host. */
function checkHost(connection: Connection, message: IncomingMessage, impliedPort = connection.target.port): void {
  const { target } = connection;
  if (target.name !== undefined) {
    const { name, port = impliedPort } = hostOf(message);
    if (name !== target.name || port !== target.port) throw new Refusal('host', message.headers.host);
  } else if (connection.mayNotName) for (const name of namesIn(message)) connection.checkName(name, 'host');
}

/** Returns the headers that are passed on, with the Host header as it was parsed. */
function forwarded(connection: Connection, message: IncomingMessage): readonly string[] {
  const pairs = endToEnd(message.rawHeaders, message.headers.connection);
  const { name } = connection.target;
  if (name === undefined) return pairs;
  const { port } = hostOf(message);
  return pairs.map((text, index) =>
    index % 2 === 1 && pairs[index - 1]?.toLowerCase() === 'host' ? `${name}${port === undefined ? '' : `:${port}`}` : text,
  );
}

function forward(connection: Connection, agent: Agent, message: IncomingMessage, response: ServerResponse): void {
  const isChunked = message.headers['transfer-encoding'] !== undefined;
  const { address, port } = connection.target;
  // An HTTP/1.0 request may lack a Host header. It is then for the address that was dialled, and is sent as HTTP/1.1.
  const host = message.headers.host === undefined ? ['Host', `${isIPv6(address ?? '') ? `[${address}]` : address}:${port}`] : [];
  // A server that does not read the body must not interpret it as a further request.
  const once = hasBody(message) ? ['Connection', 'close'] : [];
  const headers = [...host, ...forwarded(connection, message), ...once];
  const outgoing = request({
    agent,
    method: message.method,
    path: pathOf(message),
    setHost: false,
    headers: isChunked ? [...headers, 'Transfer-Encoding', 'chunked'] : headers,
  });
  outgoing.on('response', (incoming) => {
    // Node accepts responses from a server that writeHead() rejects.
    try {
      response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, endToEnd(incoming.rawHeaders, incoming.headers.connection));
    } catch (error) {
      incoming.destroy();
      if (response.headersSent) response.destroy();
      else answer(response, 502, (error as Error).message);
      return;
    }
    incoming.on('error', () => response.destroy());
    connection.count('received', headSize(incoming));
    connection.join(incoming, response, 'received');
  });
  outgoing.on('error', (error) => (response.headersSent ? response.destroy() : answer(response, 502, error.message)));
  // For a 101 response that was not requested, Node emits no other event.
  outgoing.on('close', () => {
    if (!response.headersSent) answer(response, 502, 'the server sent no response');
  });
  connection.count('sent', headSize(message));
  message.on('error', () => outgoing.destroy());
  response.on('close', () => outgoing.destroy());
  connection.join(message, outgoing, 'sent');
}

/**
 * Forwards one request that came to the proxy, if its connection is allowed. `keep` receives each socket to the server.
 * Never throws: a refused request gets an error response.
 */
export function forwardOne(
  connection: Connection,
  message: IncomingMessage,
  response: ServerResponse,
  keep: (socket: Socket) => void,
): void {
  // The program may close its side while the decision or the dialling is pending.
  response.once('close', () => connection.end());
  void connection
    .decide()
    .then(async (way) => {
      checkShape(message);
      checkHost(connection, message, impliedPort);
      if (way.kind !== 'dial') throw new Refusal('protocol', 'a destination in services or with a stream requires CONNECT');
      const request = { method: message.method ?? '', path: pathOf(message) };
      const dial = async () => {
        const socket = await connection.dial(way);
        keep(socket);
        return socket;
      };
      const first = await dial();
      const agent = new OneServer(first, dial);
      response.once('close', () => {
        first.destroy();
        agent.destroy();
      });
      connection.request('http', request);
      forward(connection, agent, message, response);
    })
    .catch((error: unknown) => {
      // A request that the program has abandoned counts as refused only if the request itself was forbidden.
      if (!response.closed || isForbidden(error)) connection.refuse(error);
      if (response.closed) return;
      answer(response, error instanceof Refusal && error.reason === 'unreachable' ? 502 : 403, (error as Error).message);
    });
}

const isForbidden = (error: unknown) => error instanceof Refusal && error.reason !== 'no-decision' && error.reason !== 'unreachable';

/** Port of an http: URL that has none. */
const impliedPort = 80;
