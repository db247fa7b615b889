import { SysError } from '../base/errors';
import { bare } from '../base/parse';
import {
  controlTypes,
  decodeAcknowledgement,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  netlinkProtocols,
  type ReceivedMessage,
} from '../netlink/message';
import { encodeBatch } from '../netlink/nftables';
import { call, callLater } from './call';
import { close } from './file';
import type { SocketNamespaces } from './in-namespace';
import { socketIn } from './socket';

const solNetlink = 270;
const options = { extendedAck: 11, capAck: 10, strictCheck: 12 } as const;
const receiveSize = 64 * 1024;
const { AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC, SOCK_NONBLOCK } = {
  AF_NETLINK: 16,
  SOCK_RAW: 3,
  SOCK_CLOEXEC: 0o2000000,
  SOCK_NONBLOCK: 0o4000,
};

/** First sequence number of a prepared batch, far from the numbers that {@link NetlinkSocket} counts up from 1. */
const preparedSequence = 0x40000000;

/** Changes of nftables, encoded. `count`: number of messages in `bytes`. */
export interface PreparedBatch {
  readonly bytes: Buffer;
  readonly count: number;
}

/** Encodes changes of nftables, so that they can be sent more than once. */
export const prepareBatch = (changes: readonly NetlinkMessage[]): PreparedBatch => ({
  bytes: encodeBatch(changes, preparedSequence),
  count: changes.length + 2,
});

/**
 * A netlink(7) socket of this process, in its own network namespace or in another. The kernel replies during the send,
 * so every call is synchronous and takes a few microseconds. The socket must be closed.
 */
export class NetlinkSocket {
  private sequence = 1;
  private isClosed = false;

  /** Takes ownership of the descriptor. */
  constructor(readonly fd: number) {
    for (const option of [options.extendedAck, options.capAck]) {
      call('setsockopt', fd, solNetlink, option, Int32Array.of(1), 4);
    }
  }

  /** Opens a socket. `where`: default this process's own network namespace. Throws SysError: EPERM, EPROTONOSUPPORT. */
  static open(protocol: keyof typeof netlinkProtocols = 'route', where?: SocketNamespaces): NetlinkSocket {
    const number = netlinkProtocols[protocol];
    if (where) return new NetlinkSocket(socketIn(where, [{ type: 'netlink', protocol: number }])[0] ?? -1);
    return new NetlinkSocket(call('socket', AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, number));
  }

  /**
   * Sends a request and reads its acknowledgement. Throws SysError, with the kernel's error text (if any) as the hint.
   */
  request(message: NetlinkMessage, origin?: string): void {
    const sequence = this.next();
    this.send(encodeMessage(message, sequence));
    this.settle(sequence, 1, origin);
  }

  /**
   * As {@link request}, on a thread of libuv's pool, for requests that take the kernel tens of milliseconds, such as
   * removing an interface. Make no other request on this socket until it settles.
   */
  async requestLater(message: NetlinkMessage, origin?: string): Promise<void> {
    const sequence = this.next();
    const bytes = encodeMessage(message, sequence);
    await callLater('sendto', this.fd, bytes, bytes.length, 0, null, 0);
    this.settle(sequence, 1, origin);
  }

  /** Makes changes of nftables, all or none of them. */
  batch(changes: readonly NetlinkMessage[], origin?: string): void {
    this.prepared(prepareBatch(changes), origin);
  }

  /** As {@link batch}, with changes that {@link prepareBatch} encoded. They can be sent any number of times. */
  prepared({ bytes, count }: PreparedBatch, origin?: string): void {
    this.send(bytes);
    this.settle(preparedSequence, count, origin);
  }

  /** Sends a request and returns the reply: one message, or all messages of a dump. */
  get(message: NetlinkMessage): readonly ReceivedMessage[] {
    const sequence = this.next();
    this.send(encodeMessage(message, sequence));
    const found: ReceivedMessage[] = [];
    const isDump = (message.flags & 0x300) !== 0;
    for (;;) {
      for (const one of this.receive()) {
        if (one.sequence !== sequence) continue;
        if (one.type === controlTypes.error || one.type === controlTypes.done) {
          this.check(one, undefined);
          return found;
        }
        found.push(one);
      }
      if (!isDump && found.length > 0) return found;
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private next(): number {
    return this.sequence++;
  }

  private send(bytes: Buffer): void {
    call('sendto', this.fd, bytes, bytes.length, 0, null, 0);
  }

  // For a batch the kernel sends one error for each message that failed, or, if all succeeded, an acknowledgement of
  // the last one.
  private settle(first: number, count: number, origin: string | undefined): void {
    for (;;) {
      const answers = this.receive().filter(
        ({ type, sequence }) => type === controlTypes.error && sequence >= first && sequence < first + count,
      );
      // For a batch the kernel reports every change that failed. The next request must not read the remaining reports.
      if (answers.some((answer) => decodeAcknowledgement(answer).errno !== 0)) this.drain();
      for (const answer of answers) this.check(answer, origin);
      if (answers.length > 0) return;
    }
  }

  private drain(): void {
    try {
      while (this.receive().length > 0);
    } catch (error) {
      if (!(error instanceof SysError && error.code === 'EAGAIN')) throw error;
    }
  }

  private check(answer: ReceivedMessage, origin: string | undefined): void {
    const { errno, text } = bare(decodeAcknowledgement(answer));
    if (errno === 0) return;
    throw new SysError({ errno, syscall: 'netlink', origin, hint: text && `kernel message: ${text}` });
  }

  private receive(): readonly ReceivedMessage[] {
    const buffer = Buffer.allocUnsafeSlow(receiveSize);
    const size = call('recvfrom', this.fd, buffer, buffer.length, 0, null, null);
    return decodeMessages(buffer.subarray(0, size));
  }
}
