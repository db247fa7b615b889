import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from './errors';

declare const sessionBrand: unique symbol;

/** One running launcher; opaque. */
export interface NativeSession {
  readonly [sessionBrand]: true;
}

/** Channels of a session: the keeper's, init's, and the end of the keeper itself. */
export const channel = { control: 0, init: 1, keeperEnd: 2 } as const;

/** Entries of `stdio` that are not descriptors to pass. */
export const stdioKind = { readPipe: -1, writePipe: -2, socketPair: -3 } as const;

/** The addon's surface. Results below zero are `-errno`. */
export interface Native {
  /** `results`: errno, number of the system call, pid, then this side's descriptor of each stdio entry. */
  launch(plan: Uint8Array, stdio: Int32Array, launcherFd: number, uid: number, gid: number, results: Int32Array): NativeSession | undefined;
  watch(session: NativeSession, onReadable: (channel: number) => void): number;
  adopt(session: NativeSession): void;
  /** `results`: pid, on the host, of the process that the message speaks of; number of descriptors beside it; these. 0 at its end. */
  receive(session: NativeSession, channel: number, buffer: Uint8Array, results: Int32Array): number;
  send(session: NativeSession, channel: number, bytes: Uint8Array): number;
  /** One more program; `results`: errno, number of the system call, then this side's descriptor of each stdio entry. */
  spawnProgram(
    session: NativeSession,
    id: number,
    plan: Uint8Array,
    stdio: Int32Array,
    uid: number,
    gid: number,
    results: Int32Array,
  ): void;
  fd(session: NativeSession, channel: number): number;
  ref(session: NativeSession, on: number): void;
  /** Ends the sandbox; with `keeperEnded` 1 frees the session. */
  close(session: NativeSession, keeperEnded: number): void;
  image(): ArrayBuffer;
  /** ppoll(2): each entry is `fd << 3 | events`, and becomes its revents. */
  poll(entries: Int32Array, timeoutMs: number): number;
  /** An OFD write lock on one byte. */
  lockByte(fd: number, index: number): number;
  pidfdOpen(pid: number, flags: number): number;
  pidfdSendSignal(fd: number, signal: number): number;
}

let loaded: Native | undefined;

/**
 * The addon, loaded at first use so that importing nsjs works everywhere.
 * The order is fixed and no environment variable can redirect it: the prebuild of this machine, then a local build.
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  if (process.platform !== 'linux') {
    throw new NsError('ERR_NSJS_UNSUPPORTED', `nsjs runs on Linux, this is ${process.platform}`);
  }
  const root = join(__dirname, '..');
  const candidates = [join(root, 'prebuilds', `linux-${process.arch}`, 'nsjs.node'), join(root, 'build', 'Release', 'nsjs.node')];
  const found = candidates.find((path) => existsSync(path));
  if (!found) {
    throw new NsError('ERR_NSJS_NATIVE', `no addon for linux-${process.arch} in this installation`, {
      hint: 'in a checkout run "npm run build"; otherwise this architecture has no prebuild',
    });
  }
  try {
    return require(found) as Native;
  } catch (cause) {
    throw new NsError('ERR_NSJS_NATIVE', `the addon ${found} could not be loaded`, {
      hint: 'it needs glibc 2.28 or later; see cause',
      cause,
    });
  }
}
