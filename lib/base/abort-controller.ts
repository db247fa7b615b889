import { transferableAbortController } from 'node:util';

/**
 * Returns an AbortController of Node itself. jsdom replaces the global class, and functions of Node reject the signals
 * of that one.
 */
export const newAbortController = (): AbortController => transferableAbortController();
