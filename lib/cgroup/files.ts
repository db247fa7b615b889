/** Parses lines of `name value`, as in memory.events. */
export function parseKeyed(text: string): ReadonlyMap<string, number> {
  const entries = text.split('\n').map((line) => line.split(' '));
  return new Map(entries.filter((parts) => parts.length === 2).map(([name = '', value]) => [name, Number(value)]));
}

/** Bytes and operations, summed over all disks. */
export interface IoTotals {
  readonly read: number;
  readonly write: number;
  readonly readOperations: number;
  readonly writeOperations: number;
}

/**
 * Parses io.stat of version 2 (`8:0 rbytes=1 wbytes=2 rios=…`), or a file of blkio (`8:0 Read 1`), which has no
 * operations.
 */
export function parseIo(text: string): IoTotals {
  const totals = { read: 0, write: 0, readOperations: 0, writeOperations: 0 };
  for (const [, name, value] of text.matchAll(/\b(rbytes|wbytes|rios|wios)=(\d+)/g))
    totals[namesOf2[name as keyof typeof namesOf2]] += Number(value);
  for (const [, name, value] of text.matchAll(/^\d+:\d+ (Read|Write) (\d+)$/gm))
    totals[name === 'Read' ? 'read' : 'write'] += Number(value);
  return totals;
}

const namesOf2 = { rbytes: 'read', wbytes: 'write', rios: 'readOperations', wios: 'writeOperations' } as const;

/** How long tasks waited for a resource: percentages over the last 10, 60 and 300 s, and the total in ms. */
export interface Pressure {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly totalMs: number;
}

/**
 * Parses pressure stall information (Documentation/accounting/psi): the time when some tasks waited, and when all tasks
 * waited.
 */
export function parsePressure(text: string): { readonly some?: Pressure; readonly full?: Pressure } {
  const lines = [...text.matchAll(/^(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)$/gm)];
  return Object.fromEntries(
    lines.map(([, which, avg10, avg60, avg300, total]) => [
      which,
      { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), totalMs: Number(total) / 1000 },
    ]),
  );
}

/** Bytes and packets of one interface. */
export interface NetworkTotals {
  readonly received: number;
  readonly receivedPackets: number;
  readonly sent: number;
  readonly sentPackets: number;
}

/** Parses /proc/<pid>/net/dev; the result is keyed by interface. */
export function parseNetDev(text: string): Readonly<Record<string, NetworkTotals>> {
  return Object.fromEntries(
    text
      .split('\n')
      .slice(2)
      .filter((line) => line.includes(':'))
      .map((line) => {
        const at = line.indexOf(':');
        const fields = line
          .slice(at + 1)
          .trim()
          .split(/\s+/)
          .map(Number);
        const [received = 0, receivedPackets = 0] = fields;
        const [sent = 0, sentPackets = 0] = fields.slice(8);
        return [line.slice(0, at).trim(), { received, receivedPackets, sent, sentPackets }];
      }),
  );
}

/**
 * Returns how often a memory limit of version 1 was reached: the limit of memory, or that of memory and swap together.
 * Linux 6.18 does not count failures of the latter, so each process that was OOM-killed counts as one failure.
 */
export function failures(memory: number | undefined, withSwap: number | undefined, oomKills = 0): number | undefined {
  return memory === undefined ? undefined : Math.max(memory + (withSwap ?? 0), oomKills);
}
