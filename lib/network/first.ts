import type { Duplex } from 'node:stream';
import { type Greeting, readGreeting, tlsHandshake } from './sniff';

/** A client that has sent too little to tell what it speaks waits for its server: this long nothing is passed on. */
const unsureMs = 100;

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
    // Of TLS half a greeting is none.
    const onEnd = () => done({ kind: bytes[0] === tlsHandshake ? 'unreadable' : 'other' }, true);
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const greeting = readGreeting(bytes, isWeb);
      if (greeting.kind !== 'more') done(greeting);
      else timer ??= setTimeout(() => done({ kind: 'more' }), unsureMs);
    };
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
    socket.resume();
  });
}

/** What was passed on in part is no request yet. If the rest makes it one, it comes too late to be looked at. */
export function watchRest(socket: Duplex, before: Buffer, isWeb: boolean, refuse: () => void): void {
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    // What was read before comes again.
    if (bytes.length <= before.length) return;
    const greeting = readGreeting(bytes, isWeb);
    if (greeting.kind === 'more') return;
    socket.off('data', onData);
    if (greeting.kind !== 'other') refuse();
  };
  socket.prependListener('data', onData);
}
