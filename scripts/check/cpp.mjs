// Runs clang-format and clang-tidy on the C++ files. A missing tool is an error, so that the check is never skipped
// silently.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const list = (directory, ending) =>
  readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name));
const directories = ['src/sys', 'src/plan', 'src/launch', 'src/launch/ops', 'src/addon'];
const sources = directories.flatMap((directory) => list(directory, '.cc'));
const headers = directories.flatMap((directory) => list(directory, '.h'));
const include = join(dirname(dirname(process.execPath)), 'include/node');

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' });
  if (error) {
    console.error(`${command} is missing: apt-get install clang-format clang-tidy`);
    process.exit(1);
  }
  return status;
}

const format = run('clang-format', ['--dry-run', '--Werror', ...sources, ...headers]);
if (format !== 0) console.error('run: npm run format');
const includes = [include, 'node_modules/node-addon-api'].filter((path) => existsSync(path));
const defines = ['-DNAPI_VERSION=9', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'];
const flags = ['-std=c++20', '-Wall', '-Wextra', '-fno-exceptions', ...includes.map((path) => `-isystem${path}`), ...defines];
const tidy = run('clang-tidy', ['--quiet', ...sources, '--', ...flags]);
process.exit(format === 0 && tidy === 0 ? 0 : 1);
