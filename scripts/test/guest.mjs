// Runs commands in guests of test/vm and adds up the totals that jest prints there.
import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where guest kernels are kept. */
export const cache = join(homedir(), '.cache/nsjs-vm');

/** A user without privileges in the guest. */
export const userId = 54_321;

/** Files of the project that the tests read, besides node_modules and the addon. */
export const projectFiles = [
  'package.json',
  'jest.config.js',
  'dist',
  'dist-test',
  'dist-examples',
  'docs',
  'test/data',
  'test/programs',
  'scripts/test/lab.sh',
];

/** Jest, where everything takes many times as long. */
export const jest = ['node_modules/jest/bin/jest.js', '--ci', '--forceExit', '--testTimeout', '200000'];

/** Runs a shell command in the guest. Resolves with its exit status and its output. */
function inGuest(options, line) {
  return new Promise((resolve) => {
    const child = spawn('nice', ['-n', '5', 'bash', 'test/vm/run-in-vm.sh', ...options, '--', '/bin/sh', '-c', line], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (part) => {
        text += part;
        process.stdout.write(part);
      });
    }
    child.on('close', (status) => resolve({ status, text }));
  });
}

// The emulated machine itself can fail while it boots with two processors. Only that is repeated, not a failed test.
const guestFailed = 125;
const tries = 3;

/** Runs a shell command in a guest, with options of run-in-vm.sh, and adds its tests to `totals`. */
export async function runInGuest(totals, title, options, line) {
  console.log(`vm: ${title}`);
  let result = await inGuest(options, line);
  for (let attempt = 2; result.status === guestFailed && attempt <= tries; attempt++) {
    console.log(`vm: the guest failed, attempt ${attempt} of ${tries}`);
    result = await inGuest(options, line);
  }
  const summary = (result.text.match(/^Tests: .*$/gm) ?? []).join('\n');
  const number = (word) => [...summary.matchAll(new RegExp(`(\\d+) ${word}`, 'g'))].reduce((sum, [, found]) => sum + Number(found), 0);
  for (const name of Object.keys(totals)) totals[name] += number(name);
  // A run that ended without totals has failed.
  if (result.status !== 0 && number('failed') === 0) totals.failed++;
}
