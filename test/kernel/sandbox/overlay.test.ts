import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sandbox, spawnIsolated } from 'nsjs';
import { rejection } from '../../support';

const work = mkdtempSync(join(tmpdir(), 'nsjs-oci-'));

chmodSync(work, 0o755);

afterAll(() => {
  execFileSync('chmod', ['-R', 'u+rwX', work]);
  rmSync(work, { recursive: true, force: true });
});

let count = 0;

const fresh = (name: string) => join(work, `${name}-${count++}`);

describe('an overlay', () => {
  test('keeps its changes in a host directory until they are discarded', async () => {
    const [lower, upper] = [fresh('lower'), fresh('upper')];
    mkdirSync(lower);
    mkdirSync(upper, { mode: 0o700 });
    writeFileSync(join(lower, 'f'), 'below');
    const open = () => Sandbox.open({ mounts: [{ type: 'overlay', target: '/o', lower, upper }] });
    const first = await open();
    await first.spawn('/bin/sh', ['-c', 'echo above > /o/f; echo new > /o/g']);
    await first.close();
    const second = await open();
    expect((await second.spawn('cat', ['/o/f', '/o/g'])).stdout).toBe('above\nnew');
    expect((await second.overlay('/o').diff()).map(({ path, kind }) => `${kind} ${path}`)).toEqual(['modified /f', 'added /g']);
    await second.overlay('/o').discard();
    expect(second.closed).toBe(true);
    expect(execFileSync('ls', ['-A', upper], { encoding: 'utf8' })).toBe('');
    expect(readFileSync(join(lower, 'f'), 'utf8')).toBe('below');
  });

  test('is limited to its size and number of inodes', async () => {
    const lower = fresh('lower');
    mkdirSync(lower);
    const { stdout } = await spawnIsolated(
      '/bin/sh',
      [
        '-c',
        'dd if=/dev/zero of=/o/big bs=1M count=8 2>&1 | grep -o "No space"; for i in $(seq 60); do : > /o/f$i || break; done 2>&1 | grep -o "No space"',
      ],
      {
        mounts: [{ type: 'overlay', target: '/o', lower, size: '4M', inodes: 40 }],
        reject: false,
      },
    );
    expect(stdout).toBe('No space\nNo space');
  });

  test('refuses an upper directory that other users can enter', async () => {
    const [lower, upper] = [fresh('lower'), fresh('upper')];
    mkdirSync(lower);
    mkdirSync(upper, { mode: 0o755 });
    const error = await rejection(spawnIsolated('true', [], { mounts: [{ type: 'overlay', target: '/o', lower, upper }] }));
    expect(error).toMatchObject({ code: 'EACCES', origin: 'mounts[0].upper' });
  });

  test('with a missing directory is refused with the path of the directory', async () => {
    expect(await rejection(spawnIsolated('true', [], { root: { lower: '/nowhere' } }))).toMatchObject({
      code: 'ENOENT',
      origin: 'root',
      path: '/nowhere',
    });
  });

  test('that does not exist causes an error', async () => {
    const sandbox = await Sandbox.open();
    expect(() => sandbox.overlay()).toThrow('no overlay at /');
    await sandbox.close();
  });
});
