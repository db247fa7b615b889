import { NsError } from '../base/errors';
import { parseInteger } from '../base/parse';
import { close } from './file';

// Warns about a descriptor that was never closed, and closes it: a descriptor can hold a whole namespace.
const forgotten = new FinalizationRegistry<{ readonly number: number; readonly what: string }>(({ number, what }) => {
  process.emitWarning(`${what} (descriptor ${number}) was not closed`, { type: 'NsjsWarning', detail: 'use `using`, or call close()' });
  try {
    close(number);
  } catch {
    // Somebody closed it by its number.
  }
});

/** A descriptor with one owner. Closing it twice is safe; using it afterwards throws ERR_NSJS_CLOSED. */
export class Fd {
  private owned: number | undefined;

  /** Takes the descriptor over. `what` names it in warnings. */
  constructor(number: number, what = 'a descriptor') {
    this.owned = parseInteger(number, 'fd', 0, 2 ** 31 - 1);
    forgotten.register(this, { number, what }, this);
  }

  /** The number. Throws NsError ERR_NSJS_CLOSED once it is closed. */
  get fd(): number {
    if (this.owned === undefined) throw new NsError('ERR_NSJS_CLOSED', `${this.constructor.name} is closed`);
    return this.owned;
  }

  get closed(): boolean {
    return this.owned === undefined;
  }

  /** Gives the descriptor away: who gets the number closes it. */
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
