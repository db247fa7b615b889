import { SysError } from '../../base/errors';
import { resolverAddress } from '../../egress/name-addresses';
import { Egress } from '../../egress/server';
import { egressRequests, openEgress } from '../../egress/sockets';
import { EgressThread } from '../../egress/thread';
import type { EgressEvent, EgressTotals } from '../../features/egress-events';
import type { NetworkSpec } from '../../features/network';
import { egressBounds } from '../../features/network-bounds';
import { close } from '../../sys/file';
import { inNamespace, type NamespaceRequest, type SocketNamespaces } from '../../sys/in-namespace';
import { addInterface, type Socketed } from './interfaces';
import { type MadeNamespace, makeNetNamespace, releaseOwner } from './net-namespace';
import { outerResolvers, requirePasta } from './pasta';

/** The network namespace that was set up for one sandbox, and the services of this process in it. */
export class LiveNetwork {
  /** Name servers for /etc/resolv.conf. */
  readonly resolvers: readonly string[];
  /** Method that intercepts outgoing connections, with `egress`. */
  readonly via: 'nftables' | 'ports' | undefined;
  private onEgress: (event: EgressEvent) => void = () => {};
  private initPid: () => number | undefined = () => undefined;
  private readonly made: MadeNamespace;
  private readonly egress: Egress | EgressThread | undefined;
  private readonly socketed: Socketed[] = [];
  private isClosed = false;
  private hasFd = true;

  /** Throws SysError, NsError. On error nothing is left behind. */
  constructor(spec: NetworkSpec, hostname: string | undefined) {
    const resolvers: string[] = [];
    this.made = spec.egress ? makeNetNamespace(true, egressRequests(spec.egress), egressBounds) : makeNetNamespace(needsSix(spec));
    try {
      if (spec.egress) {
        const sockets = openEgress(spec.egress, { ...this.where, ...this.made });
        this.via = sockets.via;
        const Served = spec.egress.worker ? EgressThread : Egress;
        this.egress = new Served(spec.egress, sockets, {
          tell: (event) => this.onEgress(event),
          init: () => this.initPid(),
        });
        // Without nftables, the source address of a DNS reply cannot be rewritten, so clients must query the listener
        // itself.
        resolvers.push(sockets.via === 'ports' ? '127.0.0.1' : resolverAddress);
      }
      for (const one of spec.interfaces) {
        const socketed = addInterface(one, this.where, this.made.route, hostname);
        this.socketed.push(socketed);
        resolvers.push(...socketed.resolvers);
      }
      if (spec.pasta) {
        requirePasta();
        resolvers.push(...outerResolvers());
      }
      this.applySysctl(spec);
    } catch (error) {
      this.close();
      throw error;
    }
    this.made.route.close();
    this.resolvers = spec.dns ?? [...new Set(resolvers)];
  }

  get netFd(): number {
    return this.made.netFd;
  }

  /**
   * Connects the network to its sandbox. `initPid` returns the pid of its init on this host, `onEgress` receives its
   * egress events.
   */
  connect(initPid: () => number | undefined, onEgress: (event: EgressEvent) => void): void {
    this.initPid = initPid;
    this.onEgress = onEgress;
  }

  /** Must be called when the sandbox's init is running. */
  started(): void {
    if (this.egress instanceof EgressThread) this.egress.started(this.initPid());
  }

  get where(): SocketNamespaces & { readonly netFd: number } {
    const { netFd, userFd } = this.made;
    return { netFd, ...(userFd === undefined ? {} : { userFd }) };
  }

  /** Returns the egress totals by destination, or undefined without egress. */
  totals(): Readonly<Record<string, EgressTotals>> | undefined {
    return this.egress?.totals();
  }

  /**
   * Closes this process's descriptor once the sandbox has the namespace. The sandbox's processes then keep it alive.
   */
  handOver(): void {
    if (!this.hasFd) return;
    this.hasFd = false;
    close(this.made.netFd);
  }

  /** Stops everything that this process does in the namespace. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.egress?.close();
    for (const one of this.socketed.splice(0)) one.release();
    this.made.route.close();
    this.handOver();
    if (this.made.userFd !== undefined) releaseOwner();
  }

  // Interface parameters exist only after the interfaces have been created.
  private applySysctl({ sysctl }: NetworkSpec): void {
    if (sysctl.length === 0) return;
    try {
      inNamespace(
        this.where,
        sysctl.map(([path, text]): NamespaceRequest => ({ kind: 'write', path, text })),
      );
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      throw new SysError({ errno: -error.errno, syscall: error.syscall, origin: 'network.sysctl', path: error.path });
    }
  }
}

const needsSix = ({ interfaces, egress, pasta }: NetworkSpec): boolean =>
  egress !== undefined || pasta !== undefined || interfaces.some(({ addresses }) => addresses.some(({ address }) => address.includes(':')));
