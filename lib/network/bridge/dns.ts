import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { getServers } from 'node:dns';
import { isIPv4 } from 'node:net';
import { clearTimeout, setTimeout } from 'node:timers';
import { type DnsQuery, decodeQuery, encodeAnswer, encodeFormatError, recordTypes, responseCodes } from '../../egress/dns-message';

const forwardMs = 5000;
const maxForwarded = 256;

/**
 * DNS server for the names of one network. Queries for other names are forwarded to the host's resolvers or answered
 * with NXDOMAIN.
 */
export class LanNames {
  private readonly sockets: Datagrams[] = [];
  private readonly names = new Map<string, readonly string[]>();
  private forwarded = 0;

  /** `forwards`: whether queries for other names are forwarded. */
  constructor(private readonly forwards: boolean) {}

  /** Takes over a bound socket. */
  listen(fd: number, type: 'udp4' | 'udp6'): void {
    const socket = createSocket(type);
    socket.on('error', () => {});
    socket.on('message', (message, from) => {
      const reply = (answer: Buffer) => {
        // A reply cannot be sent to port 0.
        if (from.port !== 0 && this.sockets.includes(socket)) socket.send(answer, from.port, from.address, () => {});
      };
      this.answer(message, reply);
    });
    socket.bind({ fd });
    socket.unref();
    this.sockets.push(socket);
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  set(name: string, addresses: readonly string[]): void {
    this.names.set(name, addresses);
  }

  delete(name: string): void {
    this.names.delete(name);
  }

  entries(): readonly (readonly [string, readonly string[]])[] {
    return [...this.names];
  }

  close(): void {
    for (const socket of this.sockets.splice(0)) socket.close();
  }

  private answer(message: Buffer, reply: (answer: Buffer) => void): void {
    const query = decodeQuery(message);
    const known = query && this.names.get(query.name);
    if (!query) {
      const error = encodeFormatError(message);
      if (error) reply(error);
    } else if (known) reply(encodeAnswer(query, { code: responseCodes.ok, addresses: ofType(query, known) }));
    else if (this.forwards) this.forward(query, message, reply);
    else reply(encodeAnswer(query, { code: responseCodes.noName }));
  }

  // Queries and replies are forwarded unchanged, so that all record types work.
  private forward(query: DnsQuery, message: Buffer, reply: (answer: Buffer) => void): void {
    const [server] = getServers().filter((one) => !one.includes('%'));
    if (server === undefined || this.forwarded >= maxForwarded) {
      reply(encodeAnswer(query, { code: responseCodes.failure }));
      return;
    }
    const { host, port } = endpoint(server);
    const socket = createSocket(isIPv4(host) ? 'udp4' : 'udp6');
    this.forwarded++;
    let isDone = false;
    const done = (answer: Buffer) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      socket.removeAllListeners('message');
      socket.close();
      this.forwarded--;
      reply(answer);
    };
    const fail = () => done(encodeAnswer(query, { code: responseCodes.failure }));
    const timer = setTimeout(fail, forwardMs);
    timer.unref();
    socket.unref();
    socket.on('error', fail);
    // The callback receives an error if there is no route to the server, although its type does not declare this.
    socket.connect(port, host, ((error?: Error) => (error ? fail() : socket.send(message))) as () => void);
    // A connected socket receives packets from that server only. The id must match that of the query nevertheless.
    socket.on('message', (answer) => {
      if (answer.length > 2 && answer.readUInt16BE(0) === query.id) done(answer);
    });
  }
}

const ofType = ({ type }: DnsQuery, addresses: readonly string[]): readonly string[] =>
  addresses.filter((address) => type === (isIPv4(address) ? recordTypes.a : recordTypes.aaaa));

function endpoint(server: string): { readonly host: string; readonly port: number } {
  const [, six, sixPort] = /^\[(.+)\]:(\d+)$/.exec(server) ?? [];
  if (six !== undefined) return { host: six, port: Number(sixPort) };
  const [host = '', port] = isIPv4(server.split(':')[0] ?? '') ? server.split(':') : [server];
  return { host, port: Number(port ?? 53) };
}
