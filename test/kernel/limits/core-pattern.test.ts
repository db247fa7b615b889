// If core_pattern starts with a pipe symbol, the kernel runs a host program as root whatever RLIMIT_CORE is, unless
// RLIMIT_CORE is 1.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnIsolated } from 'nsjs';
import { isRoot, isSlow, sleep, testIf } from '../../support';

const setting = '/proc/sys/kernel/core_pattern';
const handler = '/run/nsjs-core-handler';
const mark = '/run/nsjs-core-handled';

/** Returns whether the handler has run, and resets that. */
async function isHandled(): Promise<boolean> {
  await sleep(1000);
  const isThere = existsSync(mark);
  rmSync(mark, { force: true });
  return isThere;
}

// Only in a virtual machine: the setting applies to the whole machine.
testIf(isRoot && isSlow, 'root of a guest', 'no core handler runs for a program in a sandbox that sets its core limit to 0', async () => {
  const before = readFileSync(setting, 'utf8');
  writeFileSync(handler, `#!/bin/sh\n: > ${mark}\n`, { mode: 0o755 });
  writeFileSync(setting, `|${handler}`);
  try {
    const crash = ['-c', 'ulimit -c 0; kill -SEGV $$'] as const;
    spawnSync('/bin/sh', [...crash]);
    expect(await isHandled()).toBe(true);
    const { signal } = await spawnIsolated('/bin/sh', crash, { reject: false });
    expect(signal).toBe('SIGSEGV');
    expect(await isHandled()).toBe(false);
  } finally {
    writeFileSync(setting, before);
    rmSync(handler);
  }
});
