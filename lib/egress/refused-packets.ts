import { debuglog } from 'node:util';
import { canonicalIp, ipText } from '../base/ip';
import { type NativeWatch, native } from '../native/addon';
import { decodeMessages } from '../netlink/message';
import { bindPacketLog, decodeLoggedPacket, type LoggedPacket } from '../netlink/packet-log';
import { call } from '../sys/call';
import { NetlinkSocket } from '../sys/netlink-socket';
import { refusalGroup } from './nft-rules';

const debug = debuglog('nsjs');
const packetBytes = 128;
const maxPerTurn = 32;
const readable = 1;

/** A packet that the kernel has refused by itself. */
export interface RefusedPacket {
  readonly protocol: LoggedPacket['protocol'];
  readonly address: string;
  readonly port: number;
  readonly source: string;
  readonly sourcePort: number;
}

/** Receives from the kernel the packets that its rules refuse in one namespace. */
export class Refusals {
  private handle: NativeWatch | undefined;

  private constructor(
    private readonly socket: NetlinkSocket,
    private readonly tell: (packet: RefusedPacket) => void,
  ) {
    const watch = native().watchFd(socket.fd, readable, () => this.onReadable());
    if (typeof watch === 'number') return;
    native().refWatch(watch, 0);
    this.handle = watch;
  }

  /**
   * Takes ownership of an nfnetlink socket. Returns undefined if the kernel has no such log: packets are then refused
   * without a report.
   */
  static watch(fd: number, tell: (packet: RefusedPacket) => void): Refusals | undefined {
    const socket = new NetlinkSocket(fd);
    try {
      for (const message of bindPacketLog(refusalGroup, packetBytes)) socket.request(message);
      return new Refusals(socket, tell);
    } catch (error) {
      debug('the kernel does not report refused packets: %s', (error as Error).message);
      socket.close();
      return undefined;
    }
  }

  close(): void {
    if (this.handle) native().unwatchFd(this.handle);
    this.handle = undefined;
    this.socket.close();
  }

  private onReadable(): void {
    const buffer = Buffer.allocUnsafeSlow(16 * 1024);
    for (let turn = 0; turn < maxPerTurn; turn++) {
      const size = this.receive(buffer);
      if (size === 0) return;
      for (const message of decodeMessages(buffer.subarray(0, size))) {
        const packet = decodeLoggedPacket(message);
        if (packet) this.tell(inWords(packet));
      }
      // The callback may have closed the socket.
      if (!this.handle) return;
    }
  }

  private receive(buffer: Buffer): number {
    try {
      return call('recvfrom', this.socket.fd, buffer, buffer.length, 0, null, null);
    } catch {
      return 0;
    }
  }
}

const inWords = ({ protocol, destination, port, source, sourcePort }: LoggedPacket): RefusedPacket => ({
  protocol,
  address: canonicalIp(ipText(destination)),
  port,
  source: canonicalIp(ipText(source)),
  sourcePort,
});
