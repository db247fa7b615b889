import { type Duplex, pipeline, type Readable } from 'node:stream';
import { isBytes } from '../base/parse';
import { checkedInput } from './output';

// A program that stops reading is none of the caller's errors; a source that fails is.
const ends: readonly string[] = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/** Writes what the caller has given to the program's descriptor 0, and closes it. `fail` receives the error of a source that fails. */
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
