// A core_pattern that is a pipe runs a program of the host as root, whatever the limit of core files is, unless that is 1.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnIsolated } from 'nsjs';
import { isRoot, isSlow, sleep, testIf } from '../../support';

const setting = '/proc/sys/kernel/core_pattern';
const handler = '/run/nsjs-core-handler';
const mark = '/run/nsjs-core-handled';

/** Whether the handler has run. */
async function isHandled(): Promise<boolean> {
  await sleep(1000);
  const isThere = existsSync(mark);
  rmSync(mark, { force: true });
  return isThere;
}

// Of a guest alone: the setting is the whole machine's.
testIf(isRoot && isSlow, 'root of a guest', 'no handler runs for a sandbox that lowers its core limit', async () => {
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
