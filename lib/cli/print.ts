// Programs choose their arguments, names and host names. This is the only file of the command line that writes to a terminal.

// Control characters of both sets, what turns the direction of text or cannot be seen, separators of lines, halves of pairs, and blank letters.
const harmful = /\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}|\p{Cs}|[\u115f\u1160\u3164\uffa0]/gu;

const escaped = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');

/** Text in which nothing steers a terminal, on one line: what could is written as \uXXXX, as in JSON. Pure. */
export const printable = (text: string): string => text.replace(harmful, escaped);

/** The same, of text that nsjs has laid out itself: its line breaks stay. Values in it are to be printable already. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

/** Prints text that nsjs has laid out: a table, or help. */
export function print(text: string): void {
  process.stdout.write(`${printableLines(text)}\n`);
}

/** Prints data as JSON; by default on several lines. */
export function printJson(value: unknown, indent: number | undefined = 2): void {
  print(JSON.stringify(value, undefined, indent));
}

/** Prints a message of one line to stderr. */
export function printError(message: string): void {
  process.stderr.write(`${printable(message)}\n`);
}

/** The command line was wrong; the message has lines of its own. */
export class UsageError extends Error {}

/** Prints text that nsjs has laid out to stderr. */
export function printErrorLines(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}
