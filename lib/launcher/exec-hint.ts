import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { errnoName, SysError } from '../base/errors';
import type { MountSpec } from '../features/root/mounts';
import type { Spec } from '../features/spec';
import { host } from '../host/host';
import { usrMasks } from '../host/usr-masks';

/** The file that a program starts from, as seen from outside the sandbox. */
interface Found {
  /** Its first bytes. */
  readonly head: Buffer;
  readonly isExecutable: boolean;
}

const headSize = 4096;
const anybodyExecutes = 0o111;
const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;

/**
 * Adds a hint to an exec error that explains why an existing program could not be started. Returns any other error
 * unchanged.
 */
export function explainExec(error: Error | undefined, spec: Spec, file: string): Error | undefined {
  if (!(error instanceof SysError) || error.syscall !== `spawn ${file}`) return error;
  const hint = execHint(errnoName(-error.errno), spec, file) ?? error.hint;
  if (hint === error.hint) return error;
  const { errno, syscall, path, spawnargs } = error;
  return new SysError({ errno: -errno, syscall, hint, ...(path === undefined ? {} : { path }), ...(spawnargs ? { spawnargs } : {}) });
}

function execHint(code: string, spec: Spec, file: string): string | undefined {
  if (!file.includes('/')) return undefined;
  const path = posix.resolve(spec.cwd ?? '/', file);
  const found = look(spec, path);
  if (code === 'ENOEXEC')
    return `the file has no #! line and is not an executable for ${process.arch}: run it with its interpreter, for example spawnIsolated('/bin/sh', ['${file}'])`;
  if (code === 'EACCES')
    return found && !found.isExecutable ? `the file is not executable: use chmod +x, or run it with its interpreter` : undefined;
  if (code !== 'ENOENT') return undefined;
  if (!found) return file.startsWith('/') ? undefined : `${path} does not exist inside: a relative path is resolved from cwd`;
  const [, interpreter] = /^#![ \t]*([^ \t\n]*)/.exec(found.head.toString('latin1')) ?? [];
  if (interpreter === undefined) return 'the file exists, but its dynamic loader is not visible inside: check it with `file` and `ldd`';
  if (interpreter.endsWith('\r'))
    return `the first line ends with CRLF, so the interpreter is '${interpreter.slice(0, -1)}' followed by a carriage return: convert the line endings to LF`;
  return `the file exists, but its interpreter ${interpreter} is not visible inside: add a mount for it, or use another interpreter`;
}

/**
 * Looks up the regular file at a path inside. Returns undefined if there is none, or if it cannot be determined from
 * outside.
 */
function look(spec: Spec, path: string): Found | undefined {
  const mount = spec.mounts.findLast(({ target }) => path === target || path.startsWith(`${target}/`));
  if (mount?.type === 'file')
    return { head: Buffer.from(mount.data.subarray(0, headSize)), isExecutable: (mount.mode & anybodyExecutes) !== 0 };
  const source = mount ? sourceOf(mount, path) : rootSource(spec, path);
  return source === undefined ? undefined : read(source);
}

const sourceOf = (mount: MountSpec, path: string): string | undefined =>
  mount.type === 'bind' ? `${mount.source}${path.slice(mount.target.length)}` : undefined;

function rootSource({ root }: Spec, path: string): string | undefined {
  if (root === 'host') return path;
  if (root === 'system') {
    const isThere = host().system.some(({ target }) => path.startsWith(`${target}/`));
    return isThere && !usrMasks().some(({ target }) => path === target || path.startsWith(`${target}/`)) ? path : undefined;
  }
  return typeof root === 'string' && root !== 'empty' ? `${root}${path}` : undefined;
}

function read(path: string): Found | undefined {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) return undefined;
    const fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    try {
      const head = Buffer.alloc(headSize);
      return { head: head.subarray(0, readSync(fd, head, 0, headSize, 0)), isExecutable: (stats.mode & anybodyExecutes) !== 0 };
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
