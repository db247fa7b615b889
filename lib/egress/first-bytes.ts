import type { Duplex } from 'node:stream';
import { clearTimeout, setTimeout } from 'node:timers';
import { type Greeting, isOldRequest, readGreeting } from './detect-protocol';
import { tlsRecord } from './hello-shape';

/** A client that has sent too little to tell what it speaks waits for its server: this long nothing is passed on. */
const unsureMs = 100;
/** A greeting of TLS is passed on whole or not at all. */
const wholeMs = 10_000;

/** The first that a program sends; it is there to be read again, unless it is all that comes (`isWhole`). */
export interface First {
  readonly greeting: Greeting;
  readonly bytes: Buffer;
  readonly isWhole: boolean;
}

/** Reads until it is clear what the program speaks, or it waits. */
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

// Of TLS half a greeting is none. A line that has no end is a request of HTTP/0.9 for some servers.
const isUnfinished = (bytes: Buffer): boolean => bytes[0] === tlsRecord.handshake || isOldRequest(bytes.toString('latin1'));
