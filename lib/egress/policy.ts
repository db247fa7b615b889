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

/** Decides on the connections of one sandbox and carries them. Knows sockets, not where they come from. */
export class Gate {
  readonly book = new NameBook();
  readonly counters = new EgressCounters();
  readonly resolver: Resolver;
  readonly meter: Meter;
  /** Names that a connection to an allowed address may not say it is for. */
  readonly deniesNames: boolean;
  // A separate budget, so that a flood of denied requests cannot crowd out events about allowed traffic.
  private readonly carried = new Budget(eventsPerSecond);
  private readonly asked = new Budget(eventsPerSecond);
  private readonly vain = new Budget(eventsPerSecond);
  private untold = 0;
  /** What holds all connections to a rate. */
  readonly buckets: { readonly sent: Bucket; readonly received: Bucket } | undefined;
  private readonly sockets = new Set<Duplex>();
  private front: HttpFront | undefined;
  private lastId = 0;

  /** `onEvent` receives at most `eventsPerSecond` events of a kind a second: a program must not keep its observer busy. */
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

  /** What never became a connection: the kernel, or a limit, has refused it. */
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
    this.front?.close();
    this.tellUntold();
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

  /** One request of a connection that asks for several; who asks ends it. */
  single(target: { readonly name?: string; readonly address?: string; readonly port: number }, caller: Caller): Connection {
    return new Connection(this, target, caller);
  }

  /** The same for whoever asks by other means; the caller carries it. */
  begin(socket: Duplex, target: { readonly name?: string; readonly address?: string; readonly port: number }, caller: Caller): Connection {
    const connection = new Connection(this, target, caller);
    this.keep(socket);
    socket.once('close', () => connection.end());
    return connection;
  }

  /** Ends with the sandbox at the latest; its errors are nobody's. */
  keep(socket: Duplex): void {
    if (this.sockets.has(socket)) return;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
  }

  /** Counts it, reports it, and cuts the connection. */
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
    const unbind = this.bind(socket, other);
    const { target } = connection;
    if (way.kind === 'stream' || !(target.name === undefined ? this.deniesNames : this.spec.checkNames)) {
      this.join(connection, socket, other);
      return;
    }
    // The server may be the one who speaks first; nothing goes to it before it is clear whom it is meant for.
    const stop = this.receive(connection, socket, other);
    const isWeb = target.port === webPort;
    const { greeting, bytes, isWhole } = await readFirst(socket, isWeb);
    if (socket.destroyed) return;
    this.check(connection, greeting);
    if (greeting.kind === 'other' && isForeignRequest(bytes)) throw new Refusal('protocol', 'unreadable');
    if (greeting.kind === 'http') {
      // Servers end what is theirs between two requests.
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

  // Either side's death is the other's; that of the server no more once the returned function is called.
  private bind(socket: Duplex, other: Duplex): () => void {
    const onError = () => cut(socket);
    // Its end goes along with what it has sent before; without one it was cut.
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

// The program sees ECONNRESET at once, not an answer that was cut.
function cut(socket: Duplex): void {
  const { resetAndDestroy } = socket as Partial<Socket>;
  if (resetAndDestroy && !socket.destroyed) resetAndDestroy.call(socket);
  else socket.destroy();
}
