// Limits of bytes and operations per second on a real block device: a loop device over an image file, with its own
// file system, mounted in a separate mount namespace.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';
import { cgroups, isRoot, isSlow, sh, temporaryDirectory, testIf, thrown } from '../../support';

const hasIo = cgroups.version !== undefined && 'io' in cgroups.parents;
const mebibyte = 2 ** 20;

/**
 * Runs a Node program in a mount namespace where a new loop device is mounted on `disk` in the variable `directory`.
 * Returns the JSON that it prints.
 */
function withDisk(program: string): unknown {
  const directory = temporaryDirectory();
  const image = join(directory.path, 'image');
  writeFileSync(image, Buffer.alloc(48 * mebibyte));
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  try {
    execFileSync('mkfs.ext4', ['-q', device]);
    const script = join(directory.path, 'script.js');
    writeFileSync(
      script,
      `const { spawnIsolated } = require(${JSON.stringify(process.cwd())}); const directory = ${JSON.stringify(directory.path)}; (async () => { ${program} })();`,
    );
    const line = `mount ${device} ${directory.path}/disk && chmod 1777 ${directory.path}/disk && exec ${process.execPath} ${script}`;
    execFileSync('mkdir', [join(directory.path, 'disk')]);
    const { stdout, stderr, status } = spawnSync('unshare', ['-m', '/bin/sh', '-c', line], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  } finally {
    spawnSync('losetup', ['--detach', device]);
    rmSync(image, { force: true });
    directory.remove();
  }
}

const hasLoop = isRoot && existsSync('/dev/loop-control') && spawnSync('losetup', ['--find']).status === 0;

testIf(hasIo && hasLoop, 'the io controller and loop devices', 'io: rates of bytes and operations are within 15 % of the limit', () => {
  const rates = { writeBytes: 2 * mebibyte, readBytes: 4 * mebibyte, writeOperations: 40, readOperations: 60 };
  const got = withDisk(`
    const mounts = [{ type: 'bind', source: directory + '/disk', target: '/d', readonly: false }];
    const seconds = async (line, io) => {
      const { stderr, usage } = await spawnIsolated('/bin/sh', ['-c', line], { mounts, limits: { io: [{ device: directory + '/disk', ...io }] } });
      return { seconds: Number(/, ([\\d.]+) s,/.exec(stderr)[1]), usage };
    };
    const write = (bs, count) => 'dd if=/dev/zero of=/d/x bs=' + bs + ' count=' + count + ' oflag=direct';
    const read = (bs, count) => 'dd if=/d/x of=/dev/null bs=' + bs + ' count=' + count + ' iflag=direct';
    const all = {};
    all.writeBytes = await seconds(write('64k', 96), { writeBytes: ${rates.writeBytes} });
    all.readBytes = await seconds(read('64k', 96), { readBytes: ${rates.readBytes} });
    all.writeOperations = await seconds(write('4k', 120), { writeOperations: ${rates.writeOperations} });
    all.readOperations = await seconds(read('4k', 120), { readOperations: ${rates.readOperations} });
    console.log(JSON.stringify(all));`) as Record<keyof typeof rates, { seconds: number; usage: { ioRead: number; ioWrite: number } }>;
  const done = { writeBytes: 6 * mebibyte, readBytes: 6 * mebibyte, writeOperations: 120, readOperations: 120 };
  for (const name of Object.keys(rates) as (keyof typeof rates)[]) {
    const rate = done[name] / got[name].seconds;
    process.stderr.write(`io.${name}: ${Math.round(rate)} in a second of ${rates[name]}\n`);
    // An emulated machine may be too slow to reach the limit, but must not exceed it either.
    expect(rate / rates[name]).toBeLessThan(1.15);
    if (!isSlow) expect(rate / rates[name]).toBeGreaterThan(0.85);
  }
  expect(got.writeBytes.usage.ioWrite).toBeGreaterThanOrEqual(6 * mebibyte);
  expect(got.readBytes.usage.ioRead).toBeGreaterThanOrEqual(6 * mebibyte);
});

testIf(hasIo, 'the io controller', 'io: a device that is not a disk is refused with the name of the option', async () => {
  const limits = (device: string) => ({ limits: { io: [{ device, readBytes: mebibyte }] } });
  expect(thrown(() => spawnIsolated('true', [], limits('/proc')))).toMatchObject({
    path: 'limits.io[0].device',
    code: 'ERR_INVALID_ARG_VALUE',
  });
  expect(thrown(() => spawnIsolated('true', [], limits('/nothing/there')))).toMatchObject({ path: 'limits.io[0].device' });
  expect(thrown(() => spawnIsolated('true', [], limits('sda')))).toMatchObject({ path: 'limits.io[0].device' });
  await expect(spawnIsolated('true', [], limits('4095:255'))).rejects.toMatchObject({ origin: 'limits.io[0]', code: 'ENODEV' });
  expect(await sh('echo runs', {})).toBe('runs');
});
