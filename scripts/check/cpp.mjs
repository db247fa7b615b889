// Runs clang-format and clang-tidy on the C++ files. A missing tool is an error, so that the check is never skipped
// silently.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

const list = (directory, ending) =>
  readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name));
const directories = ['src/sys', 'src/plan', 'src/launch', 'src/launch/ops', 'src/addon'];
const sources = directories.flatMap((directory) => list(directory, '.cc'));
const headers = directories.flatMap((directory) => list(directory, '.h'));
const include = join(dirname(dirname(process.execPath)), 'include/node');

/** Resolves with the exit status. */
function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'ignore'] });
    child.once('close', resolve);
    child.once('error', () => {
      console.error(`${command} is missing: apt-get install clang-format clang-tidy`);
      process.exit(1);
    });
  });
}

const format = await run('clang-format', ['--dry-run', '--Werror', ...sources, ...headers]);
if (format !== 0) console.error('run: npm run format');
const includes = [include, 'node_modules/node-addon-api'].filter((path) => existsSync(path));
const defines = ['-DNAPI_VERSION=9', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'];
const flags = ['-std=c++20', '-Wall', '-Wextra', '-fno-exceptions', ...includes.map((path) => `-isystem${path}`), ...defines];
// The headers of node-addon-api make a file of the addon take seconds, so that one process per core is worth it.
const cores = availableParallelism();
const parts = Array.from({ length: cores }, (_, core) => sources.filter((_, index) => index % cores === core)).filter(
  (part) => part.length > 0,
);
const tidy = await Promise.all(parts.map((part) => run('clang-tidy', ['--quiet', ...part, '--', ...flags])));
process.exit([format, ...tidy].every((status) => status === 0) ? 0 : 1);
