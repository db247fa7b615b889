import { NsError } from '../base/errors';
import { parseInteger } from '../base/parse';
import { close } from './file';

// Warns about a descriptor that was never closed, and closes it: a descriptor can keep a whole namespace alive.
const forgotten = new FinalizationRegistry<{ readonly number: number; readonly what: string }>(({ number, what }) => {
  process.emitWarning(`${what} (descriptor ${number}) was not closed`, { type: 'NsjsWarning', detail: 'use `using`, or call close()' });
  try {
    close(number);
  } catch {
    // It was closed by its number, outside of this class.
  }
});

/**
 * A file descriptor with a single owner. Closing it twice is safe. Using it after it is closed throws ERR_NSJS_CLOSED.
 */
export class Fd {
  private owned: number | undefined;

  /** Takes ownership of the descriptor. `what` names it in warnings. */
  constructor(number: number, what = 'a descriptor') {
    this.owned = parseInteger(number, 'fd', 0, 2 ** 31 - 1);
    forgotten.register(this, { number, what }, this);
  }

  /** Number of the descriptor. Throws NsError ERR_NSJS_CLOSED if it is closed. */
  get fd(): number {
    if (this.owned === undefined) throw new NsError('ERR_NSJS_CLOSED', `${this.constructor.name} is closed`);
    return this.owned;
  }

  get closed(): boolean {
    return this.owned === undefined;
  }

  /** Gives up ownership and returns the number. The caller closes the descriptor. */
  release(): number {
    const number = this.fd;
    this.owned = undefined;
    forgotten.unregister(this);
    return number;
  }

  close(): void {
    if (this.owned !== undefined) close(this.release());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
