// A program in uninterruptible sleep cannot be killed: this is reported, and it ends when the kernel allows it.
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRoot, isSlow, temporaryDirectory, testIf } from '../../support';

const hasFuse = isRoot && process.arch === 'x64' && existsSync('/dev/fuse') && spawnSync('unshare', ['-m', 'true']).status === 0;
const program = join(process.cwd(), 'test/programs/stuck-fs.pl');

/**
 * Script for a separate mount namespace. Processes that are stuck in the file system continue when its server is
 * killed.
 */
const script = (directory: string) => `
  const { spawn } = require('node:child_process');
  const { Sandbox, spawnIsolated } = require(${JSON.stringify(process.cwd())});
  const serve = async () => {
    const server = spawn('perl', [${JSON.stringify(program)}, ${JSON.stringify(`${directory}/fs`)}], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => server.stdout.once('data', resolve));
    return server;
  };
  (async () => {
    const first = await serve();
    const run = spawnIsolated('stat', [${JSON.stringify(`${directory}/fs/x`)}], { preset: 'none', reject: false, limits: { wallTime: 300 } });
    const told = [];
    run.events.once('stuck', (stuck) => { told.push(stuck); first.kill('SIGKILL'); });
    const result = await run;
    const second = await serve();
    const sandbox = await Sandbox.open({ preset: 'none' });
    sandbox.events.once('stuck', (stuck) => { told.push(stuck); second.kill('SIGKILL'); });
    const other = sandbox.spawn('stat', [${JSON.stringify(`${directory}/fs/x`)}], { reject: false });
    await other.spawned;
    await new Promise((resolve) => setTimeout(resolve, 300));
    await sandbox.close();
    process.send({ reason: result.reason, time: result.limits.time, stuck: result.limits.stuck, told, durationMs: result.durationMs, end: await sandbox.ended });
  })();`;

testIf(hasFuse && !isSlow, 'FUSE, as root', 'uninterruptible sleep is reported, and the result comes when it ends', async () => {
  const directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
  mkdirSync(join(directory.path, 'fs'));
  const path = join(directory.path, 'script.js');
  writeFileSync(path, script(directory.path));
  const child: ChildProcess = fork(path, [], {
    execPath: 'unshare',
    execArgv: ['-m', process.execPath],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const told = await new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`exit code ${code}`)));
  });
  directory.remove();
  const stuck = [{ pid: expect.any(Number), name: 'stat', waitsIn: expect.any(String) }];
  expect(told).toMatchObject({
    reason: 'timeout',
    time: 'wallTime',
    stuck,
    told: [stuck, stuck],
    end: { reason: 'killed', limits: { stuck } },
  });
  expect((told as { readonly durationMs: number }).durationMs).toBeGreaterThan(1000);
});
