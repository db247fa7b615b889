import { Readable } from 'node:stream';
import { SysError } from '../../base/errors';
import { parseInteger, parseObject } from '../../base/parse';
import { type NativeWatch, native } from '../../native/addon';
import { decodeLink } from '../../netlink/decode';
import { dumpLinks } from '../../netlink/link';
import { call } from '../../sys/call';
import { close } from '../../sys/file';
import type { SocketNamespaces } from '../../sys/in-namespace';
import { NetlinkSocket } from '../../sys/netlink-socket';
import { socketIn } from '../../sys/socket';
import { enhancedPacket, interfaceDescription, sectionHeader } from './pcapng';

/** Options of `capture`. */
export interface CaptureOptions {
  /** Number of bytes of each packet that are kept. Default: 65,535. */
  readonly snapLength?: number;
}

const maxSnap = 65_535;
const readable = 1;
const maxPerTurn = 64;
const truncate = 0x20; // MSG_TRUNC: return the original size
const addressSize = 20; // struct sockaddr_ll
const loopbackIndex = 1;
const outgoing = 4; // PACKET_OUTGOING

/** Reads the options. Throws OptionError or OptionRangeError. */
export function parseCapture(options: unknown): number {
  const { snapLength = maxSnap } = parseObject(options, '', ['snapLength']);
  return parseInteger(snapLength, 'snapLength', 64, maxSnap);
}

// Nanoseconds since the epoch.
const now = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));

/** Stream of all frames of a network namespace in pcapng format. Destroying the stream stops the capture. */
export class Capture extends Readable {
  private readonly fd: number;
  private readonly interfaces = new Map<number, number>();
  private readonly buffer: Buffer;
  private watch: NativeWatch | undefined;

  /** Throws SysError: EPERM. */
  constructor(
    private readonly where: SocketNamespaces,
    private readonly snapLength: number,
  ) {
    super();
    this.buffer = Buffer.allocUnsafeSlow(snapLength);
    const [fd = -1] = socketIn(where, [{ type: 'packet' }]);
    this.fd = fd;
    this.push(sectionHeader('nsjs'));
    this.describe();
  }

  override _read(): void {
    this.start();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.stop();
    close(this.fd);
    done(error);
  }

  /** Stops the capture. Frames that were captured before can still be read. */
  end(): void {
    if (this.destroyed || this.readableEnded) return;
    this.stop();
    this.push(null);
  }

  private start(): void {
    if (this.watch || this.destroyed) return;
    const watch = native().watchFd(this.fd, readable, () => this.onReadable());
    if (typeof watch === 'number') this.destroy(new SysError({ errno: -watch, syscall: 'epoll_ctl' }));
    else {
      native().refWatch(watch, 0);
      this.watch = watch;
    }
  }

  private stop(): void {
    if (this.watch) native().unwatchFd(this.watch);
    this.watch = undefined;
  }

  // Interfaces that are created later are described when their first frame arrives.
  private describe(): void {
    const route = NetlinkSocket.open('route', this.where);
    try {
      for (const message of route.get(dumpLinks())) {
        const link = decodeLink(message);
        if (link) this.add(link.index, link.name);
      }
    } finally {
      route.close();
    }
  }

  private add(index: number, name: string): number {
    const known = this.interfaces.get(index);
    if (known !== undefined) return known;
    const number = this.interfaces.size;
    this.interfaces.set(index, number);
    this.push(interfaceDescription(name, this.snapLength));
    return number;
  }

  private onReadable(): void {
    for (let turn = 0; turn < maxPerTurn && !this.destroyed; turn++) {
      const address = Buffer.alloc(addressSize);
      const size = Int32Array.of(addressSize);
      let length: number;
      try {
        length = call('recvfrom', this.fd, this.buffer, this.buffer.length, truncate, address, size);
      } catch (error) {
        if (!(error instanceof SysError) || !['EAGAIN', 'ENETDOWN'].includes(error.code)) this.destroy(error as Error);
        return;
      }
      try {
        if (this.keep(address, length)) continue;
        this.stop();
      } catch (error) {
        this.destroy(error as Error);
      }
      return;
    }
  }

  private keep(address: Buffer, length: number): boolean {
    const index = address.readInt32LE(4);
    // On the loopback interface every frame is seen as outgoing and as incoming. Only the incoming one is kept.
    if (index === loopbackIndex && address[10] === outgoing) return true;
    if (!this.interfaces.has(index)) this.describe();
    const number = this.add(index, `if${index}`);
    const bytes = Buffer.from(this.buffer.subarray(0, Math.min(length, this.buffer.length)));
    return this.push(enhancedPacket(number, now(), length, bytes));
  }
}
