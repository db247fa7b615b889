import { closeSync, constants, fchmodSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { isatty } from 'node:tty';
import { bare } from '../base/parse';
import type { Program } from '../features/feature';
import { call } from '../sys/call';
import { dup } from '../sys/file';

const getFlags = 3; // F_GETFL
const setFlags = 4; // F_SETFL
const accessMode = 3;
const { O_NONBLOCK, O_NOCTTY } = constants;
const terminalMaker = 0x502; // /dev/ptmx

/**
 * The result of starting a program, and a function that restores the flags of its descriptors once the program has
 * ended.
 */
export interface Sharing<T> {
  readonly begun: T;
  readonly restore: (() => void) | undefined;
}

/**
 * Passes descriptors of this process to a program in blocking mode. O_NONBLOCK belongs to the open file description,
 * which a program would share with this process: Node sets it on its own pipes and terminals, and the program would get
 * EAGAIN. Pipes and terminals are therefore opened again, so that the program has a description of its own. Where that
 * is impossible (sockets), the flag is cleared until the program has ended. Regular files ignore the flag, and share
 * their offset on purpose.
 */
export function sharing<T>(program: Program, isRoot: boolean, begin: (program: Program) => T): Sharing<T> {
  if (!program.stdio.some(isDescriptor)) return { begun: begin(program), restore: undefined };
  const own: number[] = [];
  const restores: (() => void)[] = [];
  const share = (entry: Program['stdio'][number]) => {
    const opened = isDescriptor(entry) ? openAgain(entry, isRoot) : entry;
    if (opened === undefined) restores.push(makeBlocking(Number(entry)));
    else if (opened !== entry) own.push(Number(opened));
    return opened ?? entry;
  };
  const restore = () => {
    for (const one of restores.splice(0)) one();
  };
  try {
    return { begun: begin(bare({ ...program, stdio: program.stdio.map(share) })), restore: restores.length > 0 ? restore : undefined };
  } catch (error) {
    restore();
    throw error;
  } finally {
    for (const fd of own) closeSync(fd);
  }
}

const isDescriptor = (entry: unknown): entry is number => typeof entry === 'number' && entry >= 0;

function openAgain(fd: number, isRoot: boolean): number | undefined {
  try {
    const stats = fstatSync(fd);
    // Opening /dev/ptmx again would create a new terminal.
    if ((!stats.isFIFO() && !isatty(fd)) || stats.rdev === terminalMaker) return undefined;
    const path = `/proc/self/fd/${fd}`;
    const flags = call('fcntl', fd, getFlags);
    // Lets the sandbox's id open this end of the pipe through /dev/stdin or /dev/stdout, but not the other end. An
    // anonymous pipe can only be opened through /proc/<pid>/fd of a process that has it open.
    if (isRoot && readlinkSync(path).startsWith('pipe:'))
      fchmodSync(fd, (stats.mode & 0o777) | ((flags & accessMode) === 0 ? 0o004 : 0o002));
    // Without O_NONBLOCK, opening a pipe whose other end is closed would block.
    const opened = openSync(path, (flags & accessMode) | O_NOCTTY | O_NONBLOCK);
    call('fcntl', opened, setFlags, flags & ~O_NONBLOCK);
    return opened;
  } catch {
    return undefined;
  }
}

/** Number of programs that need a file description to block, by device and inode. */
const blocking = new Map<string, number>();

// Works on a copy of the descriptor: the caller may close the original before the program ends, and its number may be
// reused.
function makeBlocking(fd: number): () => void {
  const stats = fstatSync(fd);
  const key = `${stats.dev}:${stats.ino}`;
  const count = blocking.get(key) ?? 0;
  const flags = call('fcntl', fd, getFlags);
  if (stats.isFile() || (count === 0 && (flags & O_NONBLOCK) === 0)) return () => {};
  const copy = dup(fd);
  blocking.set(key, count + 1);
  call('fcntl', copy, setFlags, flags & ~O_NONBLOCK);
  return () => {
    const left = (blocking.get(key) ?? 1) - 1;
    if (left > 0) blocking.set(key, left);
    else {
      blocking.delete(key);
      call('fcntl', copy, setFlags, call('fcntl', copy, getFlags) | O_NONBLOCK);
    }
    closeSync(copy);
  };
}
