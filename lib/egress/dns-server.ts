import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { EgressSpec } from '../features/egress';
import type { EgressEvent } from '../features/egress-events';
import { type EgressRule, matches } from '../features/egress-rules';
import { type DnsAnswer, type DnsQuery, decodeQuery, encodeAnswer, encodeFormatError, recordTypes, responseCodes } from './dns-message';
import type { NameBook } from './name-addresses';
import type { Resolver } from './resolver';

const maxPending = 64;
const maxPerTurn = 8;
const maxMessage = 4096;
const minMessage = 12;
const idleMs = 10_000;

/** State from which queries are answered. */
export interface Names {
  readonly spec: EgressSpec;
  readonly book: NameBook;
  readonly resolver: Resolver;
  tell(event: EgressEvent): void;
}

/** Answers the DNS queries of one sandbox. Names that could be allowed have an address; all others do not exist. */
export class DnsServer {
  private readonly sockets: Datagrams[] = [];
  private pending = 0;

  constructor(private readonly names: Names) {}

  /** Takes ownership of a bound socket. */
  listen(fd: number, type: 'udp4' | 'udp6'): void {
    const socket = createSocket(type);
    socket.on('error', () => {});
    socket.on('message', (message, from) => void this.onMessage(socket, message, from));
    socket.bind({ fd });
    socket.unref();
    this.sockets.push(socket);
  }

  /** Serves queries over TCP, each preceded by its length. */
  serve(socket: Socket): void {
    let rest = Buffer.alloc(0);
    let isBusy = false;
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', () => {});
    const next = (): Buffer | undefined => {
      const size = length(rest);
      if (size !== undefined && (size < minMessage || size > maxMessage)) socket.destroy();
      if (size === undefined || rest.length < 2 + size || socket.destroyed) return undefined;
      const message = rest.subarray(2, 2 + size);
      rest = rest.subarray(2 + size);
      return message;
    };
    // A few queries are answered in each turn of the event loop, because one chunk can contain thousands.
    const work = async () => {
      for (;;) {
        const messages = Array.from({ length: maxPerTurn }, next).filter((message) => message !== undefined);
        if (messages.length === 0) return;
        const answers = await Promise.all(messages.map((message) => this.answer(message)));
        if (socket.destroyed) return;
        const found = answers.flatMap((answer) => (answer ? [u16(answer.length), answer] : []));
        // No queries are read from a client that does not read the responses.
        if (!socket.write(Buffer.concat(found))) await drained(socket);
        await turn();
      }
    };
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      if (isBusy) return;
      isBusy = true;
      socket.pause();
      void work().then(() => {
        isBusy = false;
        socket.resume();
      });
    });
    socket.on('end', () => socket.end());
    socket.resume();
  }

  close(): void {
    for (const socket of this.sockets.splice(0)) socket.close();
  }

  private async onMessage(socket: Datagrams, message: Buffer, from: RemoteInfo): Promise<void> {
    // A response cannot be sent to port 0.
    if (from.port === 0) return;
    const answer = await this.answer(message);
    if (answer && this.sockets.includes(socket)) socket.send(answer, from.port, from.address, () => {});
  }

  private async answer(message: Buffer): Promise<Buffer | undefined> {
    const query = decodeQuery(message);
    if (!query) return encodeFormatError(message);
    return encodeAnswer(query, await this.look(query));
  }

  private async look(query: DnsQuery): Promise<DnsAnswer> {
    const { spec, book } = this.names;
    const found = reachableName(spec, query.name);
    if (query.type === recordTypes.a || !found)
      this.names.tell({ kind: 'lookup', time: Date.now(), name: query.name, allowed: found !== undefined });
    if (!found) return { code: responseCodes.noName };
    if (found === 'listed') {
      const code = await this.exists(query.name);
      if (code !== responseCodes.ok) return { code };
    }
    // There are no records of other types: no IPv6 addresses, and no keys that would hide a server's name.
    if (query.type !== recordTypes.a) return { code: responseCodes.ok };
    const address = book.addressOf(query.name);
    return address === undefined ? { code: responseCodes.failure } : { code: responseCodes.ok, addresses: [address] };
  }

  private async exists(name: string): Promise<number> {
    if (this.pending >= maxPending) return responseCodes.failure;
    this.pending++;
    try {
      await this.names.resolver.resolve(name);
      return responseCodes.ok;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ENOTFOUND' || code === 'ENODATA' ? responseCodes.noName : responseCodes.failure;
    } finally {
      this.pending--;
    }
  }
}

const drained = (socket: Socket) =>
  new Promise<void>((done) => {
    const end = () => {
      socket.off('drain', end);
      socket.off('close', end);
      done();
    };
    socket.on('drain', end);
    socket.on('close', end);
  });

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

const length = (bytes: Buffer): number | undefined => (bytes.length < 2 ? undefined : bytes.readUInt16BE(0));
const coversAllPorts = ({ ports: [first, last] }: EgressRule) => first === 1 && last === 65_535;

/**
 * Returns why a connection to the name could be allowed on some port; undefined if it could not. Only `listed` names
 * are resolved outside, because any other query could itself carry data out.
 */
function reachableName({ allow, deny, services, onConnect }: EgressSpec, name: string): 'service' | 'listed' | 'asked' | undefined {
  if (deny.some((rule) => coversAllPorts(rule) && !rule.cidr && matches(rule, { name }))) return undefined;
  if (services.some(({ host }) => host === name)) return 'service';
  if (allow.some((rule) => !rule.cidr && matches(rule, { name }))) return 'listed';
  return onConnect ? 'asked' : undefined;
}
