// Programs choose their arguments, names and host names, so this is the only file of the command line that writes to a
// terminal.

// Matches control characters of both sets (C0, C1), format characters (which change the direction of text or are
// invisible), line and paragraph separators, lone surrogates, and blank letters.
const harmful = /\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}|\p{Cs}|[\u115f\u1160\u3164\uffa0]/gu;

const escaped = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');

/** Makes text safe for a terminal, on one line: writes harmful characters as \uXXXX, as in JSON. Pure. */
export const printable = (text: string): string => text.replace(harmful, escaped);

/**
 * Like {@link printable}, for text that nsjs has formatted: line breaks stay. Values in it must be printable already.
 */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

/** Prints text that nsjs has formatted, such as a table or help. */
export function print(text: string): void {
  process.stdout.write(`${printableLines(text)}\n`);
}

/** Prints data as JSON, by default on several lines. */
export function printJson(value: unknown, indent: number | undefined = 2): void {
  print(JSON.stringify(value, undefined, indent));
}

/** Prints a one-line message to stderr. */
export function printError(message: string): void {
  process.stderr.write(`${printable(message)}\n`);
}

/** Reports a wrong command line; the message has several lines. */
export class UsageError extends Error {}

/** Prints text that nsjs has formatted to stderr. */
export function printErrorLines(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}
