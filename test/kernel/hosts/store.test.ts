// A host with only env in /usr/bin: all programs and libraries are in a store, as on NixOS and Guix.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isRoot, temporaryDirectory, testIf } from '../../support';

const checkout = process.cwd();
const hasTools = ['/usr/bin/patchelf', '/bin/busybox'].every((path) => existsSync(path));

/**
 * Creates such a host below a directory, with busybox as its shell and tools, and this Node with its libraries. Returns
 * the path of Node.
 */
function makeHost(root: string, store: string): string {
  const at = (path: string) => join(root, path);
  const [tools, libraries, node, system] = ['aaa-tools', 'bbb-libraries', 'ccc-node', 'ddd-system'].map((name) => `${store}/${name}`);
  const profile = store.startsWith('/nix') ? `${system}/sw/bin` : `${system}/profile/bin`;
  for (const path of [
    'bin',
    'usr/bin',
    'run',
    'proc',
    'sys',
    'dev',
    'tmp',
    'etc',
    'old',
    'app',
    `${tools}/bin`,
    libraries,
    `${node}/bin`,
    profile,
  ])
    mkdirSync(at(path ?? ''), { recursive: true });
  copyFileSync('/bin/busybox', at(`${tools}/bin/busybox`));
  for (const name of ['sh', 'ls', 'cat', 'env', 'umount']) {
    symlinkSync('busybox', at(`${tools}/bin/${name}`));
    symlinkSync(`${tools}/bin/${name}`, at(`${profile}/${name}`));
  }
  const needed = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  const paths = [...needed.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => path ?? []);
  for (const path of paths) copyFileSync(path, at(`${libraries}/${basename(path)}`));
  copyFileSync(process.execPath, at(`${node}/bin/node`));
  chmodSync(at(`${node}/bin/node`), 0o755);
  const loader = paths.find((path) => basename(path).startsWith('ld-')) ?? '';
  const patch = ['--set-interpreter', `${libraries}/${basename(loader)}`, '--set-rpath', `${libraries}`, at(`${node}/bin/node`)];
  execFileSync('patchelf', patch);
  symlinkSync(`${node}/bin/node`, at(`${profile}/node`));
  symlinkSync(`${tools}/bin/sh`, at('bin/sh'));
  symlinkSync(`${tools}/bin/env`, at('usr/bin/env'));
  symlinkSync(`${system}`, at('run/current-system'));
  return `${node}/bin/node`;
}

testIf(
  isRoot && hasTools,
  'root, patchelf and busybox',
  'programs from a store run',
  () => {
    for (const store of ['/nix/store', '/gnu/store']) {
      const directory = temporaryDirectory();
      chmodSync(directory.path, 0o755);
      const root = join(directory.path, 'root');
      mkdirSync(root);
      const node = makeHost(root, store);
      const script = `const { spawnIsolated, Sandbox } = require('/app');
      (async () => {
        console.log((await spawnIsolated('sh', ['-c', 'echo shell; ls /usr/bin; env true 2>&1 | cat'])).stdout);
        console.log((await spawnIsolated('/usr/bin/env', ['sh', '-c', 'echo env'])).stdout);
        console.log((await spawnIsolated('node', ['-e', 'console.log("node")'], { preset: 'node' })).stdout);
        const sandbox = await Sandbox.open(); console.log((await sandbox.spawn(process.execPath, ['-p', '6*7'])).stdout); await sandbox.close();
      })().catch((error) => console.log(error.message))`;
      const enter = `mount --bind . . && cd "$PWD" && for d in proc sys dev; do mount --rbind /$d $d; done && mount --bind ${checkout} app && pivot_root . old &&
      exec ${store}/aaa-tools/bin/sh -c 'umount -l /old; cd /; exec ${node} -e "$SCRIPT"'`;
      const { stdout, stderr } = spawnSync('unshare', ['-m', '/bin/sh', '-c', enter], {
        cwd: root,
        env: { SCRIPT: script, PATH: process.env.PATH },
        encoding: 'utf8',
      });
      expect({ stdout, stderr }).toEqual({ stdout: 'shell\nenv\nenv\nnode\n42\n', stderr: '' });
      directory.remove();
    }
  },
  60_000,
);
