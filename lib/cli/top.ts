import { emitKeypressEvents } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { monotonic } from '../base/clock';
import { parseInteger } from '../base/parse';
import { host } from '../host/host';
import { type FoundSandbox, FoundSource, findSandboxes } from '../monitor/discover';
import { deltaOf, type MonitorSample, type Stats } from '../monitor/stats';
import { print, printableLines, printJson } from './print';
import { age, bar, size, table } from './table';

export const topUsage = `options of top and stats:
  --interval MS                  time between samples (1000)
  --count N                      number of samples (top: until q is pressed; stats: 1)
  --json                         stats: one JSON object per line for each sandbox and sample`;

const known = {
  help: { type: 'boolean', short: 'h' },
  interval: { type: 'string' },
  count: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** A sample of one sandbox. */
export interface Row {
  readonly sandbox: FoundSandbox;
  readonly sample: MonitorSample;
}

/** Follows all sandboxes that this user can see, as they come and go. */
class Watcher {
  private readonly known = new Map<number, { readonly source: FoundSource; last: Stats | undefined; at: number }>();

  sample(): readonly Row[] {
    const found = findSandboxes();
    this.forget(new Set(found.map(({ launcher }) => launcher)));
    return found.flatMap((sandbox) => {
      const kept = this.known.get(sandbox.launcher) ?? { source: new FoundSource(sandbox), last: undefined, at: 0 };
      this.known.set(sandbox.launcher, kept);
      const stats = kept.source.read();
      if (!stats) return [];
      const now = monotonic();
      const sample = { ...stats, delta: deltaOf(kept.last ?? stats, stats, kept.last ? now - kept.at : 0) };
      kept.last = stats;
      kept.at = now;
      return [{ sandbox, sample }];
    });
  }

  private forget(there: ReadonlySet<number>): void {
    for (const [launcher, { source }] of this.known) {
      if (there.has(launcher)) continue;
      source.close();
      this.known.delete(launcher);
    }
  }
}

const head = ['ID', 'OWNER', 'AGE', 'CPU', '', 'MEM', 'LIMIT', ' ', 'PIDS', 'READ/s', 'WRITE/s', 'IN/s', 'OUT/s', 'COMMAND'] as const;
const right = ['OWNER', 'AGE', 'CPU', 'MEM', 'LIMIT', 'PIDS', 'READ/s', 'WRITE/s', 'IN/s', 'OUT/s'];
const msPerSecond = 1000;

/** Formats one sample of all sandboxes as a table. Pure. */
export function topTable(rows: readonly Row[], cpus: number): string {
  return table(
    head,
    rows.map((row) => cells(row, cpus)),
    right,
  );
}

function cells({ sandbox, sample }: Row, cpus: number): readonly string[] {
  const { delta, memory, pids, io, network } = sample;
  const rate = (bytes: number) => size(delta.ms === 0 ? 0 : (bytes * msPerSecond) / delta.ms);
  return [
    sandbox.id,
    `${sandbox.owner}`,
    age(sample.time - sandbox.openedAt),
    `${(delta.cpu * 100).toFixed(1)}%`,
    bar(delta.cpu / cpus),
    size(memory.usage),
    memory.limit === undefined ? '-' : size(memory.limit),
    memory.limit === undefined ? '' : bar(memory.usage / memory.limit),
    pids.limit === undefined ? `${pids.current}` : `${pids.current}/${pids.limit}`,
    ...(io ? [rate(delta.ioRead), rate(delta.ioWrite)] : ['-', '-']),
    ...(network ? [rate(delta.received), rate(delta.sent)] : ['-', '-']),
    sandbox.command,
  ];
}

/** Runs `nsjs top`: a live table; without a terminal, one table after the other. Returns exit code 0. */
export async function runTop(words: readonly string[]): Promise<number> {
  const { interval, count, help } = read(words);
  if (help) return 0;
  const screen = process.stdout.isTTY && count === undefined;
  const stop = new AbortController();
  const restore = screen ? takeScreen(() => stop.abort()) : () => {};
  const watcher = new Watcher();
  try {
    watcher.sample();
    for (let shown = 0; shown < (count ?? Number.POSITIVE_INFINITY) && !stop.signal.aborted; shown++) {
      await pause(interval, undefined, { signal: stop.signal }).catch(() => {});
      if (!stop.signal.aborted) draw(topTable(watcher.sample(), host().cpus), screen);
    }
  } finally {
    restore();
  }
  return 0;
}

/** Runs `nsjs stats`: prints the usage of each sandbox once, or `count` times. Returns exit code 0. */
export async function runStats(words: readonly string[]): Promise<number> {
  const { interval, count = 1, json, help } = read(words);
  if (help) return 0;
  const watcher = new Watcher();
  for (let shown = 0; shown < count; shown++) {
    if (shown > 0 || !json) {
      if (shown === 0) watcher.sample();
      await pause(shown === 0 ? firstMs : interval);
    }
    const rows = watcher.sample();
    if (json) for (const { sandbox, sample } of rows) printJson({ ...sandbox, ...sample }, 0);
    else print(topTable(rows, host().cpus));
  }
  return 0;
}

// Values per unit of time need two samples.
const firstMs = 200;

function read(words: readonly string[]) {
  const { values } = parseArgs({ args: [...words], options: known });
  if (values.help) print(topUsage);
  const number = (text: string | undefined, at: string, least: number) =>
    text === undefined ? undefined : parseInteger(Number(text), at, least, 2 ** 31 - 1);
  return {
    help: values.help ?? false,
    interval: number(values.interval, '--interval', 10) ?? msPerSecond,
    count: number(values.count, '--count', 1),
    json: values.json ?? false,
  };
}

function draw(text: string, screen: boolean): void {
  if (!screen) {
    print(text);
    return;
  }
  const { rows = 24, columns = 80 } = process.stdout;
  const lines = printableLines(text)
    .split('\n')
    .slice(0, rows - 2);
  const shown = lines.length === 1 ? [...lines, 'no sandbox is running'] : lines;
  process.stdout.write(`\x1b[H\x1b[J${shown.map((line) => line.slice(0, columns)).join('\r\n')}\r\n\r\nq quits`);
}

// Uses the alternate screen, so that the former content comes back afterwards.
function takeScreen(quit: () => void): () => void {
  const { stdin, stdout } = process;
  stdout.write('\x1b[?1049h\x1b[?25l');
  emitKeypressEvents(stdin);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('keypress', (_, key: { readonly name?: string; readonly ctrl?: boolean }) => {
    if (key.name === 'q' || (key.ctrl && key.name === 'c')) quit();
  });
  process.once('SIGTERM', quit);
  return () => {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    stdout.write('\x1b[?25h\x1b[?1049l');
  };
}
