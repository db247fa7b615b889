import type { Duplex } from 'node:stream';
import { clearTimeout, setTimeout } from 'node:timers';
import { type Greeting, isOldRequest, readGreeting } from './detect-protocol';
import { tlsRecord } from './hello-shape';

/**
 * ms to wait for more bytes while the protocol is unclear. Nothing is passed on until then; afterwards the client is
 * assumed to wait for its server.
 */
const unsureMs = 100;
/** ms to wait for a complete ClientHello, which is passed on whole or not at all. */
const wholeMs = 10_000;

/** First bytes that a program sends. They are put back into the stream, unless nothing follows them (`isWhole`). */
export interface First {
  readonly greeting: Greeting;
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

/** Reads until the protocol of the program is clear, or the program waits. */
export function readFirst(socket: Duplex, isWeb: boolean): Promise<First> {
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
    const onEnd = () => done({ kind: isUnfinished(bytes) ? 'unreadable' : 'other' }, true);
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const greeting = readGreeting(bytes, isWeb);
      if (greeting.kind !== 'more') done(greeting);
      else if (bytes[0] === tlsRecord.handshake) timer ??= setTimeout(() => done({ kind: 'unreadable' }), wholeMs);
      else timer ??= setTimeout(() => done({ kind: 'more' }), unsureMs);
    };
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
    socket.resume();
  });
}

// An incomplete ClientHello is refused. Some servers answer a line without an end as an HTTP/0.9 request.
const isUnfinished = (bytes: Buffer): boolean => bytes[0] === tlsRecord.handshake || isOldRequest(bytes.toString('latin1'));
