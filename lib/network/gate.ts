import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { EgressSpec } from '../features/egress';
import { EgressCounters, type EgressEvent, type EgressTotals } from '../features/egress-events';
import { canonicalIp } from '../ip';
import { type Caller, Connection, countSocket, Refusal } from './connection';
import { HttpFront } from './http-front';
import { isNameAddress, NameBook } from './names';
import { Bucket, Budget, join, Meter } from './relay';
import { Resolver } from './resolver';
import { type Greeting, maxGreeting, readGreeting } from './sniff';

const webPort = 80;
const eventsPerSecond = 200;
/** A client that has sent too little to tell what it speaks waits for its server: this long nothing is passed on. */
const unsureMs = 100;

/** Decides on the connections of one sandbox and carries them. Knows sockets, not where they come from. */
export class Gate {
  readonly book = new NameBook();
  readonly counters = new EgressCounters();
  readonly resolver: Resolver;
  readonly meter: Meter;
  private readonly events = new Budget(eventsPerSecond);
  private readonly buckets: { readonly sent: Bucket; readonly received: Bucket } | undefined;
  private readonly sockets = new Set<Duplex>();
  private readonly front = new HttpFront();
  private lastId = 0;

  /** `onEvent` is told of no more than so many events a second: a program must not keep its watcher busy. */
  constructor(
    readonly spec: EgressSpec,
    private readonly onEvent: (event: EgressEvent) => void,
  ) {
    this.resolver = new Resolver(spec.resolve);
    this.meter = new Meter(spec.bytes ?? Number.POSITIVE_INFINITY);
    this.buckets = spec.rate === undefined ? undefined : { sent: new Bucket(spec.rate), received: new Bucket(spec.rate) };
  }

  nextId(): number {
    return ++this.lastId;
  }

  /** Connections that stand or are being made. */
  get size(): number {
    return this.sockets.size;
  }

  tell(event: EgressEvent): void {
    if (this.events.take()) this.onEvent(event);
  }

  /** What never became a connection: the kernel, or a limit, has refused it. */
  refused(
    what: Pick<Extract<EgressEvent, { kind: 'refused' }>, 'port' | 'protocol' | 'reason' | 'program' | 'detail'> & {
      readonly address: string;
    },
  ): void {
    const { address, ...rest } = what;
    const name = this.book.nameOf(address);
    this.counters.of(name ?? address).refused++;
    this.tell({ kind: 'refused', time: Date.now(), ...(name === undefined ? { address } : { name }), ...rest });
  }

  /** Totals by name or address. */
  totals(): Readonly<Record<string, EgressTotals>> {
    return this.counters.read();
  }

  /** Adds to the total of all connections; once that is spent, none stays. */
  spend(direction: 'sent' | 'received', bytes: number): void {
    this.meter.add(direction, bytes);
    if (this.meter.spent) for (const socket of [...this.sockets]) cut(socket);
  }

  /** Ends every connection. */
  close(): void {
    for (const socket of [...this.sockets]) socket.destroy();
    this.front.close();
  }

  /** A connection that a program has made to an address and a port. */
  take(socket: Socket, address: string, port: number, program: Caller['program']): void {
    const plain = canonicalIp(address);
    const name = this.book.nameOf(plain);
    const target = name === undefined ? { address: plain, port } : { name, port };
    const connection = this.begin(socket, target, { via: 'connect', program });
    if (name === undefined && isNameAddress(plain)) this.refuse(connection, socket, new Refusal('unlisted', 'no name has this address'));
    else
      void this.carry(connection, socket).catch((error) => {
        this.refuse(connection, socket, error);
      });
  }

  /** The same for whoever asks by other means; the caller carries it. */
  begin(socket: Duplex, target: { readonly name?: string; readonly address?: string; readonly port: number }, caller: Caller): Connection {
    const connection = new Connection(this, target, caller);
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      this.sockets.delete(socket);
      connection.end();
    });
    return connection;
  }

  /** Counts it, tells of it, and cuts the connection. */
  refuse(connection: Connection, socket: Duplex, error: unknown): void {
    connection.refuse(error);
    cut(socket);
  }

  /** Decides and joins both sides. `ready` is called when the way is open, before anything flows. Rejects with a Refusal. */
  async carry(connection: Connection, socket: Duplex, ready: () => void = () => {}): Promise<void> {
    const way = await connection.decide();
    if (way.kind === 'serve') {
      connection.open('service');
      ready();
      countSocket(connection, socket);
      way.serve(socket);
      return;
    }
    const other = way.kind === 'stream' ? way.stream : await connection.dial(way);
    if (socket.destroyed) {
      other.destroy();
      return;
    }
    connection.open('stream');
    ready();
    this.bind(socket, other);
    const { target } = connection;
    if (way.kind === 'stream' || target.name === undefined || !this.spec.checkNames) {
      this.join(connection, socket, other);
      return;
    }
    // The server may be the one who speaks first; nothing goes to it before it is clear whom it is meant for.
    this.receive(connection, socket, other);
    const isWeb = target.port === webPort;
    const { greeting, bytes, isWhole } = await readFirst(socket, isWeb);
    if (socket.destroyed) return;
    if (isWhole && bytes.length > 0) {
      connection.count('sent', bytes.length);
      other.write(bytes);
    }
    this.check(connection, greeting);
    if (greeting.kind === 'more') {
      watchRest(socket, bytes, () => {
        // First of all: the piece that gave it away is on its way to it.
        other.destroy();
        this.refuse(connection, socket, new Refusal('protocol', 'a request in pieces'));
      });
    }
    if (greeting.kind === 'http') {
      other.unpipe(socket);
      this.front.serve(connection, socket, other as Socket, () => connection.dial(way));
    } else this.send(connection, socket, other);
  }

  private check(connection: Connection, greeting: Greeting): void {
    const { name } = connection.target;
    if (greeting.kind === 'http2') throw new Refusal('protocol', 'HTTP/2 in clear text');
    if (greeting.kind !== 'tls') return;
    const found = greeting.serverName?.toLowerCase().replace(/\.$/, '');
    if (found !== name) throw new Refusal('server-name', found ?? 'none');
    connection.request('tls');
  }

  private join(connection: Connection, socket: Duplex, other: Duplex): void {
    this.receive(connection, socket, other);
    this.send(connection, socket, other);
  }

  private send(connection: Connection, socket: Duplex, other: Duplex): void {
    join(socket, other, (bytes) => connection.count('sent', bytes), this.buckets?.sent);
  }

  private receive(connection: Connection, socket: Duplex, other: Duplex): void {
    join(other, socket, (bytes) => connection.count('received', bytes), this.buckets?.received);
  }

  // Either side's death is the other's.
  private bind(socket: Duplex, other: Duplex): void {
    socket.once('close', () => other.destroy());
    other.on('error', () => cut(socket));
    // Its end goes along with what it has sent before; without one it was cut.
    other.once('close', () => {
      if (!other.readableEnded) cut(socket);
    });
  }
}

// The program sees ECONNRESET at once, not an answer that was cut.
function cut(socket: Duplex): void {
  const { resetAndDestroy } = socket as Partial<Socket>;
  if (resetAndDestroy && !socket.destroyed) resetAndDestroy.call(socket);
  else socket.destroy();
}

/** The first that a program sends; it is there to be read again, unless it is all that comes (`isWhole`). */
interface First {
  readonly greeting: Greeting;
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

/** Reads until it is clear what the program speaks, or it waits. */
function readFirst(socket: Duplex, isWeb: boolean): Promise<First> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    let timer: NodeJS.Timeout | undefined;
    const done = (greeting: Greeting, isWhole = false) => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      socket.pause();
      if (bytes.length > 0 && !isWhole && !socket.destroyed) socket.unshift(bytes);
      resolve({ greeting, bytes, isWhole });
    };
    const onEnd = () => done({ kind: 'other' }, true);
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const greeting = readGreeting(bytes, isWeb);
      if (greeting.kind !== 'more') done(greeting);
      else if (bytes.length >= maxGreeting) done({ kind: 'other' });
      else timer ??= setTimeout(() => done({ kind: 'more' }), unsureMs);
    };
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
    socket.resume();
  });
}

// What was passed on in part is no request yet. If the rest makes it one, it comes too late to be looked at.
function watchRest(socket: Duplex, before: Buffer, refuse: () => void): void {
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    // What was read before comes again.
    if (bytes.length <= before.length) return;
    const greeting = readGreeting(bytes, false);
    if (greeting.kind === 'more' && bytes.length < maxGreeting) return;
    socket.off('data', onData);
    if (greeting.kind !== 'other') refuse();
  };
  socket.prependListener('data', onData);
}
