import { printable } from './print';

/**
 * Formats a table with columns as wide as their content; columns in `right` are aligned to the right. Makes cells
 * printable.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[], right: readonly string[]): string {
  const all = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const pad = (text: string, column: number) =>
    right.includes(head[column] ?? '') ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return all.map((row) => row.map(pad).join(' ').trimEnd()).join('\n');
}

const units = ['B', 'K', 'M', 'G', 'T'] as const;
const step = 1024;

/** Formats a number of bytes in at most five characters, as in `12.3M`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}${units[unit]}`;
}

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** Formats a time in its two largest units, as in `3h12m`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < minute) return `${seconds}s`;
  if (seconds < hour) return `${Math.floor(seconds / minute)}m${seconds % minute}s`;
  if (seconds < day) return `${Math.floor(seconds / hour)}h${Math.floor((seconds % hour) / minute)}m`;
  return `${Math.floor(seconds / day)}d${Math.floor((seconds % day) / hour)}h`;
}

const width = 8;

/** Draws a share from 0 to 1, as in `[####    ]`. */
export function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${'#'.repeat(filled)}${' '.repeat(width - filled)}]`;
}
