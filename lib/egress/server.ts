import { createServer, type Server, type Socket } from 'node:net';
import { debuglog } from 'node:util';
import { canonicalIp } from '../base/ip';
import type { EgressSpec } from '../features/egress';
import type { EgressEvent, EgressProgram, EgressTotals } from '../features/egress-events';
import { isSpecialAddress } from '../features/egress-rules';
import { DnsServer } from './dns-server';
import { Gate } from './policy';
import { ProgramFinder } from './program-lookup';
import { httpProxy, socksProxy } from './proxy';
import { Refusals, type RefusedPacket } from './refused-packets';
import type { EgressSockets } from './sockets';

const debug = debuglog('nsjs');
const dnsPort = 53;

/** Receiver of events and source of information about the sandbox. */
export interface EgressSide {
  tell(event: EgressEvent): void;
  /** Returns the pid of the sandbox's init on the host, once it exists. */
  init(): number | undefined;
}

/** Serves the egress of one sandbox: accepts connections, answers DNS queries, reports refusals. */
export class Egress {
  private readonly gate: Gate;
  private readonly dns: DnsServer;
  private readonly servers: Server[] = [];
  private open = 0;
  private readonly refusals: Refusals | undefined;
  private readonly finder: ProgramFinder;

  /** Takes ownership of the sockets. */
  constructor(
    private readonly spec: EgressSpec,
    { tcp, dns, log, diag, proxies }: EgressSockets,
    side: EgressSide,
  ) {
    this.finder = new ProgramFinder(() => side.init(), diag);
    this.gate = new Gate(spec, (event) => side.tell(event));
    this.dns = new DnsServer(this.gate);
    for (const fd of tcp) this.listen(fd);
    for (const { fd, type } of dns) this.dns.listen(fd, type);
    if (log !== undefined) this.refusals = Refusals.watch(log, (packet) => this.onRefusal(packet));
    if (!proxies) return;
    const program = (socket: Socket) => this.asker(socket);
    this.serve(httpProxy(this.gate, program), proxies.http);
    this.serve(socksProxy(this.gate, program), proxies.socks);
  }

  totals(): Readonly<Record<string, EgressTotals>> {
    return this.gate.totals();
  }

  close(): void {
    this.refusals?.close();
    this.finder.close();
    for (const server of this.servers.splice(0)) server.close();
    this.dns.close();
    this.gate.close();
  }

  private listen(fd: number): void {
    this.serve(
      createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.onConnection(socket)),
      fd,
    );
  }

  private serve(server: Server, fd: number): void {
    // This listener runs before all others, so that connections beyond the limit are cut however they arrive.
    server.prependListener('connection', (socket: Socket) => {
      if (this.open >= this.spec.connections) {
        this.refusedByLimit(socket.localAddress, socket.localPort);
        socket.on('error', () => {});
        socket.resetAndDestroy();
        return;
      }
      this.open++;
      socket.once('close', () => this.open--);
    });
    server.on('error', (error) => debug('network.egress: %s', error.message));
    server.listen({ fd });
    server.unref();
    this.servers.push(server);
  }

  private asker(socket: Socket): () => EgressProgram | undefined {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined)
      return () => undefined;
    const own = { address: canonicalIp(remoteAddress), port: remotePort };
    const other = { address: canonicalIp(localAddress), port: localPort };
    return () => this.finder.find('tcp', own, other);
  }

  private onConnection(socket: Socket): void {
    const { localAddress, localPort } = socket;
    if (socket.destroyed) return;
    if (localAddress === undefined || localPort === undefined) socket.destroy();
    else if (localPort === dnsPort) {
      this.gate.keep(socket);
      this.dns.serve(socket);
    } else this.gate.take(socket, localAddress, localPort, this.asker(socket));
  }

  private onRefusal({ protocol, address, port, source, sourcePort }: RefusedPacket): void {
    const program = protocol === 'other' ? undefined : this.finder.find(protocol, { address: source, port: sourcePort }, { address, port });
    const reason = protocol === 'tcp' && isSpecialAddress(address) ? 'special-address' : 'unlisted';
    this.gate.refused({ address, port, protocol, reason, ...(program ? { program } : {}) });
  }

  private refusedByLimit(address: string | undefined, port: number | undefined): void {
    this.gate.refused({
      address: canonicalIp(address ?? '0.0.0.0'),
      port: port ?? 0,
      protocol: 'tcp',
      reason: 'limit',
      detail: 'connections',
    });
  }
}
