/** Kinds of records from the launcher, see src/plan/wire.h. */
export const recordKind = { started: 1, failed: 2, dropped: 3, exited: 4, text: 5, ended: 6, opened: 7, fd: 9, ending: 10 } as const;

/** Size of a record on the wire in bytes; a text may follow. */
export const recordSize = 176;
/** Limits for which the launcher itself ends a sandbox or a program. */
const heldLimits = ['wallTime', 'cpuTime', 'idle', 'memory'] as const;
export type HeldLimit = (typeof heldLimits)[number];

const blockSize = 512;

/** Maximum size of a message in bytes, kMaxMessage of src/plan/wire.h. */
export const messageSize = 8192;

/** Order of the namespaces in records, and of the descriptors sent with an `opened` record. */
export const namespaceOrder = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'] as const;

export interface LaunchRecord {
  readonly kind: number;
  readonly section: number;
  readonly step: number;
  readonly err: number;
  /** Number of the system call that failed. */
  readonly nr: number;
  /** si_code of waitid(2). */
  readonly code: number;
  /** si_status: exit code or signal. */
  readonly status: number;
  readonly userMs: number;
  readonly systemMs: number;
  readonly maxRss: number;
  /** Inode numbers of the namespaces. */
  readonly namespaces: Readonly<Record<(typeof namespaceOrder)[number], number>>;
  readonly faults: { readonly minor: number; readonly major: number };
  /** Bytes read from disks and written to them. */
  readonly io: { readonly read: number; readonly write: number };
  readonly switches: { readonly voluntary: number; readonly involuntary: number };
  /** The limit for which the launcher ended it. */
  readonly cause: HeldLimit | undefined;
  /**
   * The program that the record is about, by the number that this side gave it; 0 for the sandbox itself and for its
   * only program.
   */
  readonly program: number;
  readonly text: string;
}

// Index of the field `size` (length of the text) in a record, in words of four bytes.
const sizeAt = 7;
const alignment = 8;

/**
 * Reads one message: records at multiples of eight bytes, each followed by its text. `message` must be aligned to eight
 * bytes in its ArrayBuffer; only its first `size` bytes are read.
 */
export function readRecords(message: Buffer, size: number): readonly LaunchRecord[] {
  const words = new Uint32Array(message.buffer, message.byteOffset, message.length >> 2);
  const records: LaunchRecord[] = [];
  for (let at = 0; at + recordSize <= size; ) {
    const length = Math.min(words[at / 4 + sizeAt] ?? 0, size - at - recordSize);
    records.push(readRecord(message, words, at, length));
    at += Math.ceil((recordSize + length) / alignment) * alignment;
  }
  return records;
}

function readRecord(message: Buffer, words: Uint32Array, at: number, length: number): LaunchRecord {
  const first = at / 4;
  const word = (index: number) => words[first + index] ?? 0;
  const wide = (index: number) => word(8 + index * 2) + word(9 + index * 2) * 2 ** 32;
  return {
    kind: word(0),
    section: word(1),
    step: word(2),
    err: word(3) | 0,
    nr: word(4),
    code: word(5) | 0,
    status: word(6) | 0,
    userMs: wide(0) / 1000,
    systemMs: wide(1) / 1000,
    maxRss: wide(2) * 1024,
    namespaces: {
      user: wide(3),
      mnt: wide(4),
      pid: wide(5),
      net: wide(6),
      ipc: wide(7),
      uts: wide(8),
      cgroup: wide(9),
      time: wide(10),
    },
    faults: { minor: wide(11), major: wide(12) },
    io: { read: wide(13) * blockSize, write: wide(14) * blockSize },
    switches: { voluntary: wide(15), involuntary: wide(16) },
    program: word(42),
    cause: heldLimits[word(43) - 1],
    text: length > 0 ? message.toString('utf8', at + recordSize, at + recordSize + length) : '',
  };
}

/** The record of a program that did not run because its sandbox ended first. */
export const unstarted: LaunchRecord = Object.freeze({
  kind: 0,
  section: 0,
  step: 0,
  err: 0,
  nr: 0,
  code: 0,
  status: 0,
  userMs: 0,
  systemMs: 0,
  maxRss: 0,
  namespaces: Object.freeze({ user: 0, mnt: 0, pid: 0, net: 0, ipc: 0, uts: 0, cgroup: 0, time: 0 }),
  faults: Object.freeze({ minor: 0, major: 0 }),
  io: Object.freeze({ read: 0, write: 0 }),
  switches: Object.freeze({ voluntary: 0, involuntary: 0 }),
  cause: undefined,
  program: 0,
  text: '',
});
