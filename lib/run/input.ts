import { type Duplex, pipeline, type Readable } from 'node:stream';
import { isBytes } from '../base/parse';
import { checkedInput } from './output';

// These errors only mean that the program stopped reading and are ignored. Errors of the source are reported.
const ends: readonly string[] = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/**
 * Writes the caller's input to the program's descriptor 0 and closes it. `fail` receives the error of a failing source.
 */
export function feedInput(
  stdin: Duplex | null | undefined,
  input: string | Uint8Array | Readable | undefined,
  fail: (error: Error) => void,
): void {
  if (input === undefined || !stdin) return;
  if (typeof input === 'string' || isBytes(input)) stdin.end(input);
  else
    pipeline(input, checkedInput, stdin, (error: NodeJS.ErrnoException | null) => {
      if (error && !ends.includes(error.code ?? '')) fail(error);
    });
}
