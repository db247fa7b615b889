// Packs the package as npm would publish it, installs it into an empty directory without a compiler in PATH, loads it
// by require and by import, runs a program with it, compiles TypeScript that uses it, and checks it with attw and
// publint.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileConsumers } from './consumers.mjs';
import { installPacked, packPackage } from './packed.mjs';

const directory = mkdtempSync(join(tmpdir(), 'nsjs-package-'));
chmodSync(directory, 0o755);

try {
  const { tarball, size, names } = packPackage(directory);
  const stray = names.filter((name) => /binding\.gyp|^src\/|^test\/|^dist\/.*\.d\.m?ts$|^(?!dist\/chunks\/).*\.map$/.test(name));
  if (stray.length > 0) throw new Error(`the package must not hold ${stray.join(', ')}`);
  console.log(`package: ${names.length} files, ${size} bytes`);

  const app = join(directory, 'app');
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  // A PATH with node, npm and a shell, and no compiler.
  for (const name of ['node', 'npm', 'sh', 'env']) {
    const found = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    symlinkSync(found, join(bin, name));
  }
  const env = { ...process.env, PATH: bin };
  installPacked(app, tarball, { env });
  writeFileSync(
    join(app, 'required.cjs'),
    "const { spawnIsolated } = require('nsjs'); spawnIsolated('echo', ['required']).then(({ stdout }) => console.log(stdout));\n",
  );
  writeFileSync(
    join(app, 'imported.mjs'),
    "import { createRequire } from 'node:module'; import { spawnIsolated, NsError } from 'nsjs'; import { pidfdOpen } from 'nsjs/sys';\n" +
      "if (NsError !== createRequire(import.meta.url)('nsjs').NsError || !pidfdOpen) throw new Error('two classes of one name');\n" +
      "console.log((await spawnIsolated('echo', ['imported'])).stdout);\n",
  );
  const said = ['required.cjs', 'imported.mjs'].map((file) =>
    execFileSync(process.execPath, [file], { cwd: app, env, encoding: 'utf8' }).trim(),
  );
  if (said.join() !== 'required,imported') throw new Error(`the installed package said ${said}`);
  const cli = execFileSync(join(app, 'node_modules/.bin/nsjs'), ['run', '--', 'echo', 'cli'], { env, encoding: 'utf8' }).trim();
  if (cli !== 'cli') throw new Error(`the command said ${cli}`);
  const native = readdirSync(join(app, 'node_modules/nsjs')).includes('build');
  if (native) throw new Error('something was compiled at install');

  compileConsumers(app, directory);
  for (const [tool, args] of [
    ['attw', [tarball, '--no-color']],
    ['publint', ['run', tarball, '--strict']],
  ]) {
    const { status, stdout, stderr } = spawnSync(join('node_modules/.bin', tool), args, {
      encoding: 'utf8',
      env: { ...process.env, HOME: directory },
    });
    if (status !== 0) throw new Error(`${tool}:\n${stdout}${stderr}`);
    console.log(`${tool}: clean`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
