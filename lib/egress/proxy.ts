import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createNetServer, isIP, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { canonicalIp } from '../base/ip';
import { normalName } from '../features/egress-rules';
import type { Caller, Connection } from './connection';
import { forwardOne } from './http-relay';
import { answer, closing } from './http-text';
import type { Gate } from './policy';
import { Refusal } from './refusal';

type Target = { readonly name?: string; readonly address?: string; readonly port: number };

/** Parses a host and a port. Alternative notations of addresses are not accepted. Throws a Refusal. */
function targetOf(host: string, port: number): Target {
  const plain = host.replace(/^\[(.*)\]$/, '$1');
  if (!(port >= 1 && port <= 65_535)) throw new Refusal('protocol', `port ${port}`);
  if (isIP(plain) !== 0 && !plain.includes('%')) return { address: canonicalIp(plain), port };
  const name = normalName(plain);
  if (name === undefined) throw new Refusal('protocol', `not a host name: ${host.slice(0, 255)}`);
  return { name, port };
}

/** Placeholder in events for a target that could not be parsed. */
const unknown: Target = { address: '0.0.0.0', port: 0 };

/** Creates an HTTP proxy for the programs of a sandbox. It supports CONNECT and requests with an absolute URL. */
export function httpProxy(gate: Gate, programOf: (socket: Socket) => Caller['program']): HttpServer {
  const server = createHttpServer({ requireHostHeader: false, insecureHTTPParser: false });
  const callerOf = (socket: Socket): Caller => ({ via: 'http-proxy', program: programOf(socket) });
  const asking = new WeakSet<Socket>();
  server.on('connection', (socket: Socket) => gate.keep(socket));
  server.on('connect', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    serveConnect(gate, callerOf(socket as Socket), message, { socket, head });
  });
  server.on('request', (message: IncomingMessage, response: ServerResponse) => {
    // Requests are served one at a time, because each may open a connection of its own.
    if (asking.has(message.socket)) {
      message.socket.destroy();
      return;
    }
    asking.add(message.socket);
    response.once('close', () => asking.delete(message.socket));
    serveRequest(gate, callerOf(message.socket), message, response);
  });
  server.on('upgrade', (_: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end(closing(403, 'upgrades are not supported here: use CONNECT'), () => socket.destroy());
  });
  server.on('clientError', (_: Error, socket: Duplex) => (socket.writable ? socket.end(closing(400, 'malformed HTTP')) : socket.destroy()));
  return server;
}

function serveConnect(
  gate: Gate,
  caller: Caller,
  { url = '' }: IncomingMessage,
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
): void {
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/.exec(url) ?? [];
  let connection: Connection | undefined;
  let isReady = false;
  const refuse = (error: unknown) => {
    (connection ?? gate.begin(socket, unknown, caller)).refuse(error);
    if (socket.writable && !isReady) socket.end(closing(403, (error as Error).message));
    else socket.destroy();
  };
  try {
    connection = gate.begin(socket, targetOf(host, Number(port)), caller);
    if (head.length > 0) socket.unshift(head);
    const ready = () => {
      isReady = true;
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    };
    gate.carry(connection, socket, ready).catch(refuse);
  } catch (error) {
    refuse(error);
  }
}

function serveRequest(gate: Gate, caller: Caller, message: IncomingMessage, response: ServerResponse): void {
  const { url = '' } = message;
  let connection: Connection | undefined;
  try {
    if (!/^http:/i.test(url) || !URL.canParse(url)) throw new Refusal('protocol', 'expected an absolute http: URL');
    connection = gate.single(targetOf(rawHost(url), Number(new URL(url).port || 80)), caller);
    forwardOne(connection, message, response, (other) => gate.keep(other));
  } catch (error) {
    (connection ?? gate.single(unknown, caller)).refuse(error);
    answer(response, 403, (error as Error).message);
  }
}

// The host as written: the URL parser accepts other notations of addresses, which programs use to hide an address.
const rawHost = (url: string): string => /^http:\/\/(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)/i.exec(url)?.[1] ?? '';

const replies = { ok: 0, failure: 1, forbidden: 2, unreachable: 4, command: 7, family: 8 } as const;
const maxRequest = 512;

/** Creates a SOCKS5 proxy without authentication. It supports only CONNECT, RFC 1928. */
export function socksProxy(gate: Gate, programOf: (socket: Socket) => Caller['program']): Server {
  return createNetServer({ allowHalfOpen: true }, (socket) => {
    if (socket.destroyed) return;
    let bytes = Buffer.alloc(0);
    let greeted = false;
    gate.keep(socket);
    socket.setTimeout(10_000, () => socket.destroy());
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!greeted) {
        const count = bytes[1];
        if (bytes[0] !== 5 || bytes.length > maxRequest) socket.destroy();
        if (count === undefined || bytes.length < 2 + count) return;
        const isOpen = bytes.subarray(2, 2 + count).includes(0);
        socket.write(Buffer.from([5, isOpen ? 0 : 0xff]));
        if (!isOpen) {
          socket.off('data', onData);
          socket.end();
          return;
        }
        greeted = true;
        bytes = bytes.subarray(2 + count);
      }
      const request = readSocksRequest(bytes);
      if (request === 'more') {
        if (bytes.length > maxRequest) socket.destroy();
        return;
      }
      socket.off('data', onData);
      socket.setTimeout(0);
      socket.pause();
      const rest = bytes.subarray(request.size);
      if (rest.length > 0) socket.unshift(rest);
      serveSocks(gate, socket, request, programOf(socket));
    };
    socket.on('data', onData);
  });
}

interface SocksRequest {
  readonly size: number;
  readonly host: string;
  readonly port: number;
  /** Reply code of a request that is not supported. */
  readonly refused?: number;
}

function readSocksRequest(bytes: Buffer): SocksRequest | 'more' {
  const [, command, , type] = bytes;
  if (bytes.length < 5) return 'more';
  const length = type === 1 ? 4 : type === 4 ? 16 : type === 3 ? 1 + (bytes[4] ?? 0) : undefined;
  if (length === undefined) return { size: bytes.length, host: '', port: 0, refused: replies.family };
  const size = 4 + length + 2;
  if (bytes.length < size) return 'more';
  const raw = bytes.subarray(type === 3 ? 5 : 4, 4 + length);
  const host = type === 3 ? raw.toString('latin1') : type === 1 ? raw.join('.') : sixText(raw);
  return { size, host, port: bytes.readUInt16BE(size - 2), ...(command === 1 ? {} : { refused: replies.command }) };
}

const sixText = (raw: Buffer) => Array.from({ length: 8 }, (_, index) => raw.readUInt16BE(index * 2).toString(16)).join(':');

function serveSocks(gate: Gate, socket: Socket, request: SocksRequest, program: Caller['program']): void {
  const reply = (code: number) => socket.write(Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]));
  let connection: Connection | undefined;
  let isReady = false;
  const refuse = (error: unknown, code: number = replies.forbidden) => {
    (connection ?? gate.begin(socket, unknown, { via: 'socks5', program })).refuse(error);
    if (isReady) socket.destroy();
    else {
      reply(code);
      socket.end();
    }
  };
  if (request.refused !== undefined) {
    refuse(new Refusal('protocol', 'SOCKS5: only CONNECT to an IPv4 address, IPv6 address or host name is supported'), request.refused);
    return;
  }
  try {
    connection = gate.begin(socket, targetOf(request.host, request.port), { via: 'socks5', program });
    gate
      .carry(connection, socket, () => {
        isReady = true;
        reply(replies.ok);
      })
      .catch((error) =>
        refuse(error, error instanceof Refusal && error.reason === 'unreachable' ? replies.unreachable : replies.forbidden),
      );
  } catch (error) {
    refuse(error);
  }
}
