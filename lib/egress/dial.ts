import { connect, type Socket } from 'node:net';
import { clearTimeout, setTimeout } from 'node:timers';

/**
 * Returns a connected socket. Rejects if the connection fails or is not established within `timeoutMs`, or if the
 * program closes its side (`signal`).
 */
export function connectTo(host: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    socket.on('error', () => {});
    const fail = (error: Error) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
      socket.destroy();
      reject(error);
    };
    const give = () => fail(new Error('the program closed its connection'));
    const timer = setTimeout(() => fail(new Error(`not connected within ${timeoutMs} ms`)), timeoutMs);
    signal.addEventListener('abort', give, { once: true });
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
      // An error of an established connection closes the socket. The relay handles that.
      socket.off('error', fail);
      if (signal.aborted) give();
      else resolve(socket);
    });
  });
}
