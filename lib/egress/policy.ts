import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { canonicalIp } from '../base/ip';
import type { EgressSpec } from '../features/egress';
import { EgressCounters, type EgressEvent, type EgressTotals } from '../features/egress-events';
import { ClientGuard } from './client-guard';
import { type Caller, Connection, countSocket } from './connection';
import { type Greeting, isForeignRequest, isOpenLine } from './detect-protocol';
import { readFirst } from './first-bytes';
import { HttpFront } from './http-relay';
import { isNameAddress, NameBook } from './name-addresses';
import { Refusal } from './refusal';
import { Bucket, Budget, Meter } from './relay';
import { Resolver } from './resolver';

const webPort = 80;
const eventsPerSecond = 200;

/**
 * Decides on the connections of one sandbox and relays them. It handles sockets and does not depend on how they were
 * accepted.
 */
export class Gate {
  readonly book = new NameBook();
  readonly counters = new EgressCounters();
  readonly resolver: Resolver;
  readonly meter: Meter;
  /** Whether `deny` has names that a connection to an allowed address must not be for. */
  readonly deniesNames: boolean;
  // A separate budget, so that a flood of denied requests cannot crowd out events about allowed traffic.
  private readonly carried = new Budget(eventsPerSecond);
  private readonly asked = new Budget(eventsPerSecond);
  private readonly vain = new Budget(eventsPerSecond);
  private untold = 0;
  /** Limits of the rate of all connections together. */
  readonly buckets: { readonly sent: Bucket; readonly received: Bucket } | undefined;
  private readonly sockets = new Set<Duplex>();
  private front: HttpFront | undefined;
  private lastId = 0;

  /**
   * `onEvent` receives at most `eventsPerSecond` events per second from each budget, so that a program cannot overload
   * the observer.
   */
  constructor(
    readonly spec: EgressSpec,
    private readonly onEvent: (event: EgressEvent) => void,
  ) {
    this.resolver = new Resolver(spec.resolve);
    this.deniesNames = spec.checkNames && spec.deny.some(({ name, suffix }) => name !== undefined || suffix !== undefined);
    this.meter = new Meter(spec.bytes ?? Number.POSITIVE_INFINITY);
    this.buckets = spec.rate === undefined ? undefined : { sent: new Bucket(spec.rate), received: new Bucket(spec.rate) };
  }

  nextId(): number {
    return ++this.lastId;
  }

  tell(event: EgressEvent): void {
    if (!this.budgetOf(event).take()) {
      this.untold++;
      return;
    }
    this.tellUntold();
    this.onEvent(event);
  }

  private budgetOf(event: EgressEvent): Budget {
    if (event.kind === 'lookup') return event.allowed ? this.asked : this.vain;
    return event.kind === 'refused' ? this.vain : this.carried;
  }

  private tellUntold(): void {
    const count = this.untold;
    this.untold = 0;
    if (count > 0) this.onEvent({ kind: 'dropped', time: Date.now(), count });
  }

  /** Counts and reports traffic that never became a connection because the kernel or a limit refused it. */
  refused(
    what: Pick<Extract<EgressEvent, { kind: 'refused' }>, 'port' | 'protocol' | 'reason' | 'program' | 'detail'> & {
      readonly address: string;
    },
  ): void {
    const { address, ...rest } = what;
    const name = this.book.nameOf(address);
    this.counters.refuse(name ?? address);
    this.tell({ kind: 'refused', time: Date.now(), ...(name === undefined ? { address } : { name }), ...rest });
  }

  /** Returns the totals by name or address. */
  totals(): Readonly<Record<string, EgressTotals>> {
    return this.counters.read();
  }

  /** Adds to the byte total of all connections. Once the limit is exceeded, every connection is cut. */
  spend(direction: 'sent' | 'received', bytes: number): void {
    this.meter.add(direction, bytes);
    if (this.meter.spent) for (const socket of [...this.sockets]) cut(socket);
  }

  /** Closes every connection. */
  close(): void {
    for (const socket of [...this.sockets]) socket.destroy();
    this.front?.close();
    this.tellUntold();
  }

  /** Handles a connection that a program has made to an address and a port. */
  take(socket: Socket, address: string, port: number, program: Caller['program']): void {
    const plain = canonicalIp(address);
    const name = this.book.nameOf(plain);
    const target = name === undefined ? { address: plain, port } : { name, port };
    const connection = this.begin(socket, target, { via: 'connect', program });
    if (name === undefined && isNameAddress(plain))
      this.refuse(connection, socket, new Refusal('unlisted', 'no name was resolved to this address in the sandbox'));
    else
      void this.carry(connection, socket).catch((error) => {
        this.refuse(connection, socket, error);
      });
  }

  /** Creates the Connection of one request on a socket that carries several. The caller ends it. */
  single(target: { readonly name?: string; readonly address?: string; readonly port: number }, caller: Caller): Connection {
    return new Connection(this, target, caller);
  }

  /** Creates the Connection of a whole socket and ends it when the socket closes. The caller carries it. */
  begin(socket: Duplex, target: { readonly name?: string; readonly address?: string; readonly port: number }, caller: Caller): Connection {
    const connection = new Connection(this, target, caller);
    this.keep(socket);
    socket.once('close', () => connection.end());
    return connection;
  }

  /** Destroys the socket with the sandbox at the latest, and ignores its errors. */
  keep(socket: Duplex): void {
    if (this.sockets.has(socket)) return;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
  }

  /** Counts and reports a refusal, and cuts the connection. */
  refuse(connection: Connection, socket: Duplex, error: unknown): void {
    connection.refuse(error);
    cut(socket);
  }

  /**
   * Decides on a connection and joins both sides. Calls `ready` when the route is open, before any data flows. Rejects
   * with a Refusal.
   */
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
    const unbind = this.bind(socket, other);
    const { target } = connection;
    if (way.kind === 'stream' || !(target.name === undefined ? this.deniesNames : this.spec.checkNames)) {
      this.join(connection, socket, other);
      return;
    }
    // The server may send first. Nothing is sent to it before it is clear which host the program's data is for.
    const stop = this.receive(connection, socket, other);
    const isWeb = target.port === webPort;
    const { greeting, bytes, isWhole } = await readFirst(socket, isWeb);
    if (socket.destroyed) return;
    this.check(connection, greeting);
    if (greeting.kind === 'other' && isForeignRequest(bytes)) throw new Refusal('protocol', 'unreadable');
    if (greeting.kind === 'http') {
      // Servers may close their side between two requests, which must not cut the program's side.
      stop();
      unbind();
      this.front ??= new HttpFront();
      this.front.serve(connection, socket, other as Socket, () => connection.dial(way));
      return;
    }
    const speaks = greeting.kind === 'tls' ? 'tls' : isOpenLine(bytes) ? 'unsure' : 'other';
    const guard = new ClientGuard(speaks, (serverName) => connection.checkName(serverName, 'server-name'));
    guard.once('error', (error) => {
      other.destroy();
      this.refuse(connection, socket, error);
    });
    guard.pipe(other);
    if (isWhole) {
      connection.count('sent', bytes.length);
      guard.end(bytes);
    } else this.send(connection, socket, guard);
  }

  private check(connection: Connection, greeting: Greeting): void {
    if (greeting.kind === 'unreadable') throw new Refusal('protocol', 'unreadable');
    if (greeting.kind === 'http2') throw new Refusal('protocol', 'HTTP/2 in clear text');
    if (greeting.kind !== 'tls') return;
    connection.checkName(greeting.serverName, 'server-name');
    connection.request('tls');
  }

  private join(connection: Connection, socket: Duplex, other: Duplex): void {
    this.receive(connection, socket, other);
    this.send(connection, socket, other);
  }

  private send(connection: Connection, socket: Duplex, other: Duplex): void {
    connection.join(socket, other, 'sent');
  }

  private receive(connection: Connection, socket: Duplex, other: Duplex): () => void {
    return connection.join(other, socket, 'received');
  }

  // Closing either side closes the other. After a call of the returned function, closing the server's side no longer
  // does.
  private bind(socket: Duplex, other: Duplex): () => void {
    const onError = () => cut(socket);
    // An orderly end is passed on after the data before it. Without one the connection was cut.
    const onClose = () => {
      if (!other.readableEnded) cut(socket);
    };
    socket.once('close', () => other.destroy());
    other.on('error', onError);
    other.once('close', onClose);
    return () => {
      other.off('close', onClose);
      other.on('error', () => {});
      other.off('error', onError);
    };
  }
}

// The program gets ECONNRESET immediately, not a truncated response.
function cut(socket: Duplex): void {
  const { resetAndDestroy } = socket as Partial<Socket>;
  if (resetAndDestroy && !socket.destroyed) resetAndDestroy.call(socket);
  else socket.destroy();
}
