// The tests of limits in a guest kernel with cgroup version 2 (test/vm). Prints `skipped:` where there is no such kernel.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const kernel = process.env.NSJS_VM_KERNEL ?? join(homedir(), '.cache/nsjs-vm/default');
const seconds = 500;

if (process.geteuid() !== 0 || !existsSync(kernel)) {
  console.log('skipped: guest kernel (see test/vm/README.md)');
  process.exit(77);
}
const words = [process.execPath, 'node_modules/jest/bin/jest.js', '--ci', '--testTimeout', '200000', 'features/limits'];
// A checkout below /tmp must be kept visible: the guest has a /tmp of its own.
const visible = process.cwd().startsWith('/tmp/') ? ['-b', `/tmp/${process.cwd().split('/')[2]}`] : [];
const line = `cd ${process.cwd()} && ${words.join(' ')}`;
const run = () =>
  spawnSync('bash', ['test/vm/run-in-vm.sh', '-k', kernel, '-t', String(seconds), ...visible, '--', '/bin/sh', '-c', line], {
    stdio: ['ignore', 'inherit', 'inherit'],
  }).status ?? 1;

// The emulated machine itself can fail while it boots, two processors at once; a test that fails is another matter.
const guestFailed = 125;
const tries = 3;
let status = guestFailed;
for (let attempt = 1; attempt <= tries && status === guestFailed; attempt++) {
  if (attempt > 1) console.log(`the guest failed, attempt ${attempt} of ${tries}`);
  status = run();
}
process.exit(status);
