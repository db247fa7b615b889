import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { monotonic } from '../base/clock';
import { packageRoot } from '../base/package-root';
import { type MountLine, parseMountLines } from '../proc/mountinfo';
import { areSameFiles, type FileIds, identify, isSettled } from './file-ids';

/**
 * A file or directory below /usr that is not part of the system. Sandboxes do not see it, except for `kept` entries of
 * a directory.
 */
export interface UsrMask {
  readonly target: string;
  readonly kind: 'dir' | 'file';
  /** Names of entries that stay visible. */
  readonly kept: readonly string[];
}

const usr = '/usr';
const sources = '/usr/src';
const settings = '/usr/local/etc';
/** Kernel headers and sources, which builds of kernel modules need. */
const kernelSources = /^linux-/;

// Directories of programs and libraries, at any depth, because drivers are mounted there file by file.
const code = /^\/usr\/(local\/)?(bin|sbin|lib|lib32|lib64|libx32|libexec)(\/|$)/;
// Directories of the system that can be separate file systems.
const places = /^\/usr\/((local\/)?(share|include|games)|local)$/;

const isSystem = (path: string): boolean => code.test(path) || places.test(path);

/** Whether a directory is, or contains, a directory of the system. */
const holdsSystem = (directory: string): boolean =>
  ['bin', 'sbin', 'lib', 'lib64', 'libexec', 'share', 'include', 'local'].some((name) =>
    [`${usr}/${name}`, `${usr}/local/${name}`].some((path) => path === directory || path.startsWith(`${directory}/`)),
  );

const freshMs = 1000;
let known: readonly string[] = [];
let knownAt = Number.NEGATIVE_INFINITY;

// Reads the list of mounts at most once a second.
function mountedBelow(): readonly string[] {
  const now = monotonic();
  if (now - knownAt >= freshMs) {
    known = foreignMounts(parseMountLines(textOf('/proc/self/mountinfo')));
    knownAt = now;
  }
  return known;
}

let application: { readonly script: string | undefined; readonly directory: string | undefined } | undefined;

// The application directory depends only on the script, so it is cached.
function ownApplication(): string | undefined {
  const script = process.argv[1];
  if (application?.script !== script || !application) application = { script, directory: applicationDirectory(script) };
  return application.directory;
}

interface Found {
  readonly masks: readonly UsrMask[];
  readonly mounted: readonly string[];
  readonly own: string | undefined;
  readonly seen: FileIds;
}

let found: Found | undefined;

/** Returns all files and directories below /usr on this host that are not part of the system. */
export function usrMasks(): readonly UsrMask[] {
  const [mounted, own] = [mountedBelow(), ownApplication()];
  if (found?.mounted === mounted && found.own === own && areSameFiles(found.seen)) return found.masks;
  const seen = identify([sources, settings, ...mounted, ...(own === undefined ? [] : [own])], 1);
  const masks = findMasks(mounted, own !== undefined && existsSync(own) ? own : undefined);
  found = isSettled(seen) ? { masks, mounted, own, seen } : undefined;
  return masks;
}

function findMasks(mounted: readonly string[], own: string | undefined): readonly UsrMask[] {
  const names = namesIn(sources);
  const all: readonly UsrMask[] = [
    ...(names.some((name) => !kernelSources.test(name))
      ? [{ target: sources, kind: 'dir', kept: names.filter((name) => kernelSources.test(name)) } as const]
      : []),
    ...(namesIn(settings).length > 0 ? [hidden(settings)] : []),
    ...mounted.flatMap((target) => maskOf(target) ?? []),
    ...(own === undefined ? [] : [hidden(own)]),
  ];
  // Omits a mask below another one, which hides it already, and duplicates.
  return all.filter(
    ({ target }, index) => !all.some(({ target: other }, place) => target.startsWith(`${other}/`) || (target === other && place < index)),
  );
}

const hidden = (target: string): UsrMask => ({ target, kind: 'dir', kept: [] });

function maskOf(target: string): UsrMask | undefined {
  const stats = statSync(target, { throwIfNoEntry: false });
  return stats && { target, kind: stats.isDirectory() ? 'dir' : 'file', kept: [] };
}

/** Returns mounts below /usr, on another device than /usr, that are not part of the system. Pure. */
export function foreignMounts(mounts: readonly MountLine[]): readonly string[] {
  const at = (path: string) => mounts.findLast(({ target }) => target === path);
  const device = (at(usr) ?? at('/'))?.device;
  return mounts
    .filter((one) => one.target.startsWith(`${usr}/`) && one.device !== device && !isSystem(one.target))
    .map(({ target }) => target);
}

/**
 * Returns the directory of the running application, if it is below /usr: the topmost directory with a package.json
 * above the script that Node was started with. Never a directory that contains directories of the system. Undefined if
 * the script belongs to npm or to nsjs itself.
 */
export function applicationDirectory(script: string | undefined): string | undefined {
  const file = script === undefined ? undefined : realFile(script);
  if (file === undefined) return undefined;
  const directories = directoriesAbove(file).filter((directory) => directory.startsWith(`${usr}/`) && !holdsSystem(directory));
  const packages = directories.filter((directory) => existsSync(join(directory, 'package.json')));
  const own = realpathSync(packageRoot);
  // The topmost directory: packages within it are parts of the application.
  return packages.some((directory) => directory === own || nameOf(directory) === 'npm') ? undefined : packages.at(-1);
}

// Resolves the script as Node does: it can be a directory, or a file named without its extension.
function realFile(script: string): string | undefined {
  for (const path of [script, `${script}.js`, `${script}.cjs`, `${script}.mjs`, `${script}.json`, `${script}.node`])
    try {
      const real = realpathSync(path);
      return statSync(real).isDirectory() ? join(real, 'index.js') : real;
    } catch {}
  return undefined;
}

function directoriesAbove(path: string): readonly string[] {
  const directory = dirname(path);
  return directory === path ? [] : [directory, ...directoriesAbove(directory)];
}

function nameOf(directory: string): unknown {
  try {
    return (JSON.parse(textOf(join(directory, 'package.json'))) as { readonly name?: unknown }).name;
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
