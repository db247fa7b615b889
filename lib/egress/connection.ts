import { isIP, type Socket } from 'node:net';
import type { Duplex, Readable, Writable } from 'node:stream';
import { clearTimeout, setTimeout } from 'node:timers';
import { newAbortController } from '../base/abort-controller';
import { monotonic } from '../base/clock';
import type { EgressContext, EgressDecision, EgressSpec } from '../features/egress';
import type { EgressCounters, EgressEvent, EgressProgram } from '../features/egress-events';
import { type EgressRule, type EgressTarget, isDenied, isSpecialAddress, listed, matches, parseEndpoint } from '../features/egress-rules';
import { connectTo } from './dial';
import { Refusal } from './refusal';
import { type Bucket, join, type Meter } from './relay';
import type { Resolver } from './resolver';

/** How a connection arrived, and a function that finds the program that made it. */
export interface Caller {
  readonly via: EgressContext['via'];
  readonly program: () => EgressProgram | undefined;
}

/** Destination of a connection that is allowed. */
export type Way =
  | { readonly kind: 'serve'; serve(socket: Duplex): void }
  | { readonly kind: 'stream'; readonly stream: Duplex }
  /** Any of these addresses. */
  | { readonly kind: 'dial'; readonly addresses: readonly string[]; readonly port: number };

/** State that all connections of one sandbox share. */
export interface Shared {
  readonly spec: EgressSpec;
  readonly counters: EgressCounters;
  readonly resolver: Resolver;
  readonly meter: Meter;
  readonly deniesNames: boolean;
  readonly buckets: { readonly sent: Bucket; readonly received: Bucket } | undefined;
  nextId(): number;
  tell(event: EgressEvent): void;
  spend(direction: 'sent' | 'received', bytes: number): void;
}

/** One connection that a program requests. It decides, dials, and counts the traffic. */
export class Connection {
  readonly id: number;
  readonly traffic = { sent: 0, received: 0 };
  private readonly startedAt = monotonic();
  private readonly abort = newAbortController();
  private isOpen = false;
  private isDone = false;

  constructor(
    private readonly gate: Shared,
    readonly target: EgressTarget & { readonly port: number },
    private readonly caller: Caller,
  ) {
    this.id = gate.nextId();
  }

  /** Name or address by which the connection is counted. */
  get destination(): string {
    return this.target.name ?? this.target.address ?? '';
  }

  /** Decides whether and where the connection may go. Rejects with a Refusal. */
  async decide(): Promise<Way> {
    const { gate, target } = this;
    const { spec } = gate;
    if (gate.meter.spent) throw new Refusal('limit', 'bytes');
    const list = listed(spec, target);
    if (list === 'deny') throw new Refusal('denied');
    const service = spec.services.find(({ host, port }) => host === (target.name ?? target.address) && port === target.port);
    if (service) return { kind: 'serve', serve: (socket) => service.serve(socket, this.context(list)) };
    const decision = spec.onConnect ? await this.ask(spec.onConnect, this.context(list)) : undefined;
    if (decision === 'deny') throw new Refusal('denied', 'by onConnect');
    if (typeof decision === 'object' && 'stream' in decision) return { kind: 'stream', stream: decision.stream };
    if (typeof decision === 'object') return this.redirected(decision.redirect);
    if (list !== 'allow' && decision !== 'allow')
      throw new Refusal(target.address !== undefined && isSpecialAddress(target.address) ? 'special-address' : 'unlisted');
    return { kind: 'dial', addresses: await this.addresses(), port: target.port };
  }

  /** Whether `deny` has names that a connection to an address must not be for either. */
  get mayNotName(): boolean {
    return this.gate.deniesNames;
  }

  /**
   * Checks the server name that the program sends. It must be the name that was looked up or, if an address was
   * dialled, must not be denied. Throws a Refusal.
   */
  checkName(found: string | undefined, reason: 'server-name' | 'host'): void {
    const { name, port } = this.target;
    if (name !== undefined && found !== name) throw new Refusal(reason, found ?? 'none');
    if (name === undefined && found !== undefined && listed(this.gate.spec, { name: found, port }) === 'deny')
      throw new Refusal('denied', found);
  }

  /** Connects to the first of the addresses that accepts. Rejects with a Refusal. */
  async dial({ addresses, port }: Extract<Way, { kind: 'dial' }>): Promise<Socket> {
    let last: Error | undefined;
    for (const address of addresses) {
      if (this.abort.signal.aborted) break;
      try {
        const socket = await connectTo(address, port, this.gate.spec.connectTimeout, this.abort.signal);
        this.open(`${address}:${port}`);
        return socket;
      } catch (error) {
        last = error as Error;
      }
    }
    throw new Refusal('unreachable', last?.message ?? 'no address');
  }

  /** Counts and reports the connection as established. */
  open(to: string): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.gate.counters.of(this.destination).connections++;
    this.gate.tell({ kind: 'connect', ...this.place(), id: this.id, via: this.caller.via, to });
  }

  /** Relays one direction, counted and limited to the rate. Returns a function that undoes it. */
  join(from: Readable, to: Writable, direction: 'sent' | 'received'): () => void {
    return join(from, to, (bytes) => this.count(direction, bytes), this.gate.buckets?.[direction]);
  }

  /** Counts bytes that were relayed. */
  count(direction: 'sent' | 'received', bytes: number): void {
    this.traffic[direction] += bytes;
    this.gate.spend(direction, bytes);
  }

  request(protocol: 'http' | 'tls', more: { readonly method?: string; readonly path?: string } = {}): void {
    this.gate.tell({ kind: 'request', ...this.place(), id: this.id, protocol, ...more });
  }

  refuse(error: unknown): void {
    const { reason, detail } = error instanceof Refusal ? error : { reason: 'unreachable' as const, detail: String(error) };
    this.gate.counters.refuse(this.destination);
    const program = this.caller.program();
    this.gate.tell({
      kind: 'refused',
      ...this.place(),
      id: this.id,
      protocol: 'tcp',
      reason,
      ...(program ? { program } : {}),
      ...(detail === undefined ? {} : { detail }),
    });
  }

  /** Ends the connection after the program's side has closed, and reports its totals. */
  end(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.abort.abort();
    if (!this.isOpen) return;
    const totals = this.gate.counters.of(this.destination);
    totals.sent += this.traffic.sent;
    totals.received += this.traffic.received;
    this.gate.tell({ kind: 'close', ...this.place(), id: this.id, ...this.traffic, durationMs: monotonic() - this.startedAt });
  }

  private place() {
    return { time: Date.now(), ...this.target };
  }

  private context(list: EgressContext['listed']): EgressContext {
    const { via, program } = this.caller;
    return { ...this.target, via, listed: list, program, signal: this.abort.signal };
  }

  private async ask(onConnect: (context: EgressContext) => EgressDecision | Promise<EgressDecision>, context: EgressContext) {
    const { connectTimeout } = this.gate.spec;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const stop = (why: string) => reject(new Refusal('no-decision', why));
      timer = setTimeout(() => stop(`onConnect returned no decision within ${connectTimeout} ms`), connectTimeout);
      this.abort.signal.addEventListener('abort', () => stop('the program closed its connection'), { once: true });
    });
    try {
      return checkedDecision(await Promise.race([Promise.resolve(context).then(onConnect), late]));
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal('no-decision', (error as Error | undefined)?.message);
    } finally {
      clearTimeout(timer);
    }
  }

  // A redirect to an address is intended, special or not, so the address is not checked. A name may resolve to any
  // address, so its addresses are checked.
  private async redirected(endpoint: string): Promise<Way> {
    const { host, port } = endpointOf(endpoint);
    const addresses = isIP(host) === 0 ? await this.resolve(host) : [host];
    return { kind: 'dial', addresses: isIP(host) === 0 ? this.permitted(addresses, port) : addresses, port };
  }

  private async addresses(): Promise<readonly string[]> {
    const { name, address } = this.target;
    const found = name === undefined ? [address ?? ''] : await this.resolve(name);
    if (found.length === 0) throw new Refusal('unreachable', 'no address');
    return this.permitted(found, this.target.port);
  }

  // The rules are applied again to the very addresses that are dialled, so that a name cannot lead elsewhere in
  // between.
  private permitted(found: readonly string[], port: number): readonly string[] {
    const { allow, deny } = this.gate.spec;
    const isNamed = (rules: readonly EgressRule[], address: string) => rules.some((rule) => rule.cidr && matches(rule, { address, port }));
    const open = found.filter((address) => !isDenied(networksOf(deny), { address, port }));
    if (open.length === 0 && found.length > 0) throw new Refusal('denied', found.join(' '));
    const allowed = open.filter((address) => !isSpecialAddress(address) || isNamed(allow, address));
    if (allowed.length === 0) throw new Refusal('special-address', open.join(' '));
    return allowed;
  }

  private async resolve(name: string): Promise<readonly string[]> {
    try {
      return await this.gate.resolver.resolve(name);
    } catch (error) {
      throw new Refusal('unreachable', (error as Error).message);
    }
  }
}

/**
 * Counts traffic that does not pass through a relay: when the program's socket closes, its own byte counters are used.
 */
export function countSocket(connection: Connection, socket: Duplex): void {
  if (typeof (socket as Partial<Socket>).bytesRead !== 'number') return;
  socket.prependOnceListener('close', () => {
    const { bytesRead, bytesWritten } = socket as Socket;
    connection.traffic.sent = bytesRead;
    connection.traffic.received = bytesWritten;
  });
}

const networksOf = (rules: readonly EgressRule[]) => rules.filter(({ cidr }) => cidr);

function endpointOf(endpoint: string): { readonly host: string; readonly port: number } {
  try {
    return parseEndpoint(endpoint, 'redirect');
  } catch (error) {
    throw new Refusal('no-decision', (error as Error).message);
  }
}

// The function may return any value; an invalid one refuses the connection.
function checkedDecision(value: unknown): 'allow' | 'deny' | undefined | { readonly redirect: string } | { readonly stream: Duplex } {
  if (value === undefined || value === 'allow' || value === 'deny') return value;
  const { redirect, stream } = (value ?? {}) as Readonly<Record<'redirect' | 'stream', unknown>>;
  if (typeof redirect === 'string') return { redirect };
  if (typeof (stream as Duplex | undefined)?.pipe === 'function') return { stream: stream as Duplex };
  throw new Refusal('no-decision', `onConnect returned ${String(value)}: expected 'allow', 'deny', { redirect }, { stream } or undefined`);
}
