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

/** A network namespace that was set up for one sandbox, and what this process does in it. */
export class LiveNetwork {
  /** For /etc/resolv.conf. */
  readonly resolvers: readonly string[];
  /** How connections to outside are intercepted, with `egress`. */
  readonly via: 'nftables' | 'ports' | undefined;
  private onEgress: (event: EgressEvent) => void = () => {};
  private initPid: () => number | undefined = () => undefined;
  private readonly made: MadeNamespace;
  private readonly egress: Egress | EgressThread | undefined;
  private readonly socketed: Socketed[] = [];
  private isClosed = false;
  private hasFd = true;

  /** Throws SysError, NsError; nothing is left then. */
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
        // Without nftables an answer can come from no other address than the one that was asked.
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

  /** The sandbox exists: `initPid` finds its init on this host, `onEvent` receives its egress events. */
  connect(initPid: () => number | undefined, onEgress: (event: EgressEvent) => void): void {
    this.initPid = initPid;
    this.onEgress = onEgress;
  }

  /** Its init runs. */
  started(): void {
    if (this.egress instanceof EgressThread) this.egress.started(this.initPid());
  }

  get where(): SocketNamespaces & { readonly netFd: number } {
    const { netFd, userFd } = this.made;
    return { netFd, ...(userFd === undefined ? {} : { userFd }) };
  }

  /** Totals of egress by destination; undefined without egress. */
  totals(): Readonly<Record<string, EgressTotals>> | undefined {
    return this.egress?.totals();
  }

  /** The sandbox has it: from now on the namespace lives by its processes. */
  handOver(): void {
    if (!this.hasFd) return;
    this.hasFd = false;
    close(this.made.netFd);
  }

  /** Ends what this process does there. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.egress?.close();
    for (const one of this.socketed.splice(0)) one.release();
    this.made.route.close();
    this.handOver();
    if (this.made.userFd !== undefined) releaseOwner();
  }

  // Parameters of interfaces exist once these do.
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
