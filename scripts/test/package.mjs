// Packs the package as npm would publish it, installs it into an empty directory without a compiler in PATH, loads it
// by require and by import, runs a program with it, compiles TypeScript that uses it, and checks it with attw and
// publint.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileConsumers } from './consumers.mjs';

const directory = mkdtempSync(join(tmpdir(), 'nsjs-package-'));
chmodSync(directory, 0o755);
// prebuilds/ may hold other builds, so a copy of the package gets the addon that was just built.
const packed = join(directory, 'packed');
const npm = (args, options) => execFileSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options });

try {
  mkdirSync(packed);
  for (const name of ['package.json', 'README.md', 'LICENSE', ...JSON.parse(readFileSync('package.json', 'utf8')).files])
    if (!name.startsWith('prebuilds') && !/^!|[*]/.test(name)) cpSync(name, join(packed, name), { recursive: true });
  cpSync('build/Release/nsjs.node', join(packed, `prebuilds/linux-${process.arch}/nsjs.node`));
  const [{ filename, files, size }] = JSON.parse(
    npm(['pack', '--json', '--ignore-scripts', '--pack-destination', directory], { cwd: packed }),
  );
  const names = files.map(({ path }) => path);
  const stray = names.filter((name) => /binding\.gyp|^src\/|^test\/|^dist\/.*\.d\.m?ts$|\.map$/.test(name));
  if (stray.length > 0) throw new Error(`the package must not hold ${stray.join(', ')}`);
  console.log(`package: ${names.length} files, ${size} bytes`);

  const app = join(directory, 'app');
  const bin = join(directory, 'bin');
  for (const path of [app, bin]) mkdirSync(path);
  // A PATH with node, npm and a shell, and no compiler.
  for (const name of ['node', 'npm', 'sh', 'env']) {
    const found = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    symlinkSync(found, join(bin, name));
  }
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }\n');
  const env = { ...process.env, PATH: bin };
  npm(['install', '--offline', '--no-audit', '--no-fund', join(directory, filename)], { cwd: app, env });
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
  const tarball = join(directory, filename);
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
