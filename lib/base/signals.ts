import { constants } from 'node:os';
import { OptionError } from './errors';
import { parseInteger } from './parse';

/** Parses a signal of signal(7), given by name or number, and returns its number. Throws an OptionError. */
export function parseSignalNumber(value: unknown, at: string): number {
  if (typeof value === 'number') return parseInteger(value, at, 0, 64);
  const number = (constants.signals as Readonly<Record<string, number>>)[String(value)];
  if (typeof value !== 'string' || number === undefined)
    throw new OptionError(at, `expected a signal like 'SIGTERM', received ${String(value)}`);
  return number;
}
