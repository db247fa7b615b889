import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NsError } from '../base/errors';
import { isBundled, packageRoot, shipped } from '../base/package-root';

const architectures: readonly string[] = ['x64', 'arm64'];

/**
 * Loads the addon. The order is fixed, and no environment variable can redirect it: a local build, which only a
 * checkout has, then the prebuild for this architecture, where prebuildify puts it. Errors: `ERR_NSJS_UNSUPPORTED` on
 * another system, `ERR_NSJS_NATIVE` if there is no addon or Node does not load it; the error names each path and the
 * cause.
 */
export function loadAddon(): unknown {
  if (process.platform !== 'linux') {
    throw new NsError('ERR_NSJS_UNSUPPORTED', `nsjs runs on Linux, this is ${process.platform}`);
  }
  if (isBundled)
    throw new NsError('ERR_NSJS_NATIVE', `nsjs was bundled without its addon, into a file in ${__dirname}`, {
      hint: 'mark nsjs as external in the bundler, and install it beside the bundle',
    });
  const local = shipped.localAddon;
  const prebuilt = shipped.addon(process.arch);
  const found = [local, prebuilt].find((path) => existsSync(path));
  if (!found) {
    throw new NsError('ERR_NSJS_NATIVE', `no addon for linux-${process.arch}: looked for ${local} and ${prebuilt}`, {
      hint: missingHint(),
    });
  }
  try {
    return require(found) as unknown;
  } catch (cause) {
    const { message } = cause as Error;
    throw new NsError('ERR_NSJS_NATIVE', `the addon ${found} could not be loaded: ${message}`, { hint: loadHint(cause, found), cause });
  }
}

function missingHint(): string {
  if (isBlocked()) return 'Node’s permission model may hide the file: start Node with --allow-addons and --allow-fs-read=*';
  if (!architectures.includes(process.arch)) return `nsjs supports ${architectures.join(' and ')}`;
  return existsSync(join(packageRoot, 'binding.gyp'))
    ? 'in a checkout run "npm run compile"'
    : 'the package is incomplete: install nsjs again, without tools that remove files of packages';
}

const isBlocked = (): boolean => process.execArgv.some((word) => /^--(experimental-)?permission/.test(word));

// Messages of dlopen(3) of glibc and musl, each with what helps. glibc says that it cannot open a file for another
// architecture.
const loaderHints: readonly (readonly [RegExp, string])[] = [
  [
    /invalid ELF header|wrong ELF class|Exec format error|nsjs\.node: cannot open shared object file/,
    `the file is not for linux-${process.arch}: node_modules was installed on another machine, or the file is damaged; install nsjs again here`,
  ],
  [/file too short/, 'the file is damaged: install nsjs again'],
  [/failed to map segment|Operation not permitted/, 'the file system is mounted noexec: install nsjs on another one'],
  [/undefined symbol|symbol not found/, 'this program is not a Node that has Node-API version 9: run Node 20.17 or later'],
  [
    /shared object file|shared library|GLIBC|libc\.so|libc\.musl/,
    'the file was built for another libc: install nsjs again, or run "npm run compile"',
  ],
  [/Permission denied|EACCES/, 'this user cannot read the file'],
  [/ERR_UNKNOWN_BUILTIN_MODULE|No such built-in module/, 'a single-executable application loads nsjs with createRequire(process.execPath)'],
];

function loadHint(cause: unknown, path: string): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ERR_DLOPEN_DISABLED' && isBlocked())
    return 'Node’s permission model blocks addons: start Node with --allow-addons, and with --allow-fs-read=* for the files that nsjs reads';
  if (code === 'ERR_DLOPEN_DISABLED') return 'Node was started with --no-addons';
  if (code === 'ERR_ACCESS_DENIED')
    return 'Node’s permission model denies reading the file: start Node with --allow-fs-read=* and --allow-addons';
  if (/[.]zip[/]/.test(path)) return 'the file is in an archive of Yarn: run "yarn unplug nsjs"';
  return loaderHints.find(([pattern]) => pattern.test(`${code} ${message}`))?.[1] ?? 'see cause';
}
