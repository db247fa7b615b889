import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type MountLine, parseMountLines } from '../proc/mountinfo';
import { areSameFiles, type FileIds, identify, isSettled } from './file-ids';

/** Something below /usr that is no part of the system: a directory whose content nobody inside sees, but for some names in it, or a file. */
export interface UsrMask {
  readonly target: string;
  readonly kind: 'dir' | 'file';
  /** What stays. */
  readonly kept: readonly string[];
}

const usr = '/usr';
const sources = '/usr/src';
const settings = '/usr/local/etc';
/** Headers and sources of kernels, which compilers of modules need. */
const kernelSources = /^linux-/;

// Programs and libraries, at any depth: drivers are mounted there one by one.
const code = /^\/usr\/(local\/)?(bin|sbin|lib|lib32|lib64|libx32|libexec)(\/|$)/;
// And places that can be file systems of their own.
const places = /^\/usr\/((local\/)?(share|include|games)|local)$/;

const isSystem = (path: string): boolean => code.test(path) || places.test(path);

/** Whether a directory holds one of the system's. */
const holdsSystem = (folder: string): boolean =>
  ['bin', 'sbin', 'lib', 'lib64', 'libexec', 'share', 'include', 'local'].some((name) =>
    [`${usr}/${name}`, `${usr}/local/${name}`].some((path) => path === folder || path.startsWith(`${folder}/`)),
  );

const freshMs = 1000;
let known: readonly string[] = [];
let knownAt = Number.NEGATIVE_INFINITY;

// The whole list of mounts is read once a second at most.
function mountedBelow(): readonly string[] {
  const now = performance.now();
  if (now - knownAt >= freshMs) {
    known = foreignMounts(parseMountLines(textOf('/proc/self/mountinfo')));
    knownAt = now;
  }
  return known;
}

let application: { readonly script: string | undefined; readonly folder: string | undefined } | undefined;

// Where a process was started does not change.
function ownApplication(): string | undefined {
  const script = process.argv[1];
  if (application?.script !== script || !application) application = { script, folder: applicationFolder(script) };
  return application.folder;
}

interface Found {
  readonly masks: readonly UsrMask[];
  readonly mounted: readonly string[];
  readonly own: string | undefined;
  readonly seen: FileIds;
}

let found: Found | undefined;

/** What is below /usr on this host now and no part of the system. */
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
  // What lies below another one is hidden by that.
  return all.filter(
    ({ target }, index) => !all.some(({ target: other }, place) => target.startsWith(`${other}/`) || (target === other && place < index)),
  );
}

const hidden = (target: string): UsrMask => ({ target, kind: 'dir', kept: [] });

function maskOf(target: string): UsrMask | undefined {
  const stats = statSync(target, { throwIfNoEntry: false });
  return stats && { target, kind: stats.isDirectory() ? 'dir' : 'file', kept: [] };
}

/** Mounts below /usr, of another device than /usr, that are no part of the system. Pure. */
export function foreignMounts(mounts: readonly MountLine[]): readonly string[] {
  const covers = (target: string) => target === '/' || target === usr;
  const device = mounts.findLast(({ target }) => covers(target))?.device;
  return mounts
    .filter((one) => one.target.startsWith(`${usr}/`) && one.device !== device && !isSystem(one.target))
    .map(({ target }) => target);
}

/**
 * The directory of the application that runs: the uppermost with a package.json of the script Node was started with, where that lies below
 * /usr. Never one that holds directories of the system, npm, or nsjs itself.
 */
export function applicationFolder(script: string | undefined): string | undefined {
  const file = script === undefined ? undefined : realFile(script);
  if (file === undefined) return undefined;
  const folders = foldersAbove(file).filter((folder) => folder.startsWith(`${usr}/`) && !holdsSystem(folder));
  const packages = folders.filter((folder) => existsSync(join(folder, 'package.json')));
  const own = realpathSync(join(__dirname, '..', '..'));
  // The uppermost: those within it are parts of the application.
  return packages.some((folder) => folder === own || nameOf(folder) === 'npm') ? undefined : packages.at(-1);
}

// As Node finds it: a directory, or a file whose extension was left out.
function realFile(script: string): string | undefined {
  for (const path of [script, `${script}.js`, `${script}.cjs`, `${script}.mjs`, `${script}.json`, `${script}.node`])
    try {
      const real = realpathSync(path);
      return statSync(real).isDirectory() ? join(real, 'index.js') : real;
    } catch {}
  return undefined;
}

function foldersAbove(path: string): readonly string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersAbove(folder)];
}

function nameOf(folder: string): unknown {
  try {
    return (JSON.parse(textOf(join(folder, 'package.json'))) as { readonly name?: unknown }).name;
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
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
