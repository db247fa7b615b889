// Packs the package as npm would publish it, installs it into an empty directory without a compiler in PATH, loads it
// by require and by import, runs a program with it, follows the links of its documents, compiles TypeScript that uses
// it, and checks it with attw and publint.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compileConsumers } from './consumers.mjs';
import { installPacked, packPackage } from './packed.mjs';

const directory = mkdtempSync(join(tmpdir(), 'nsjs-package-'));
chmodSync(directory, 0o755);

/** Returns a PATH with node, npm and a shell, and no compiler. */
function pathWithoutCompiler() {
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  for (const name of ['node', 'npm', 'sh', 'env']) {
    const found = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    symlinkSync(found, join(bin, name));
  }
  return bin;
}

function checkNames(names) {
  const stray = names.filter((name) => /binding\.gyp|^src\/|^test\/|^dist\/.*\.d\.m?ts$|^(?!dist\/chunks\/).*\.map$/.test(name));
  if (stray.length > 0) throw new Error(`the package must not hold ${stray.join(', ')}`);
}

/** Relative links of the documents in the package lead to files in it. */
function checkLinks(root, names) {
  const broken = names
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) =>
      [...readFileSync(join(root, name), 'utf8').matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)]
        .filter(([, link]) => !existsSync(join(root, dirname(name), link)))
        .map(([, link]) => `${name}: ${link}`),
    );
  if (broken.length > 0) throw new Error(`links to files that are not in the package:\n${broken.join('\n')}`);
}

const programs = {
  'required.cjs':
    "const { spawnIsolated } = require('nsjs'); spawnIsolated('echo', ['required']).then(({ stdout }) => console.log(stdout));",
  'imported.mjs': `import { createRequire } from 'node:module'; import { spawnIsolated, NsError } from 'nsjs'; import { pidfdOpen } from 'nsjs/sys';
if (NsError !== createRequire(import.meta.url)('nsjs').NsError || !pidfdOpen) throw new Error('two classes of one name');
console.log((await spawnIsolated('echo', ['imported'])).stdout);`,
};

function runPrograms(app, env, started) {
  for (const [file, text] of Object.entries(programs)) {
    writeFileSync(join(app, file), `${text}\n`);
    const said = execFileSync(process.execPath, [file], { cwd: app, env, encoding: 'utf8' }).trim();
    if (said !== file.split('.')[0]) throw new Error(`${file} of the installed package said ${said}`);
    if (file === 'required.cjs') console.log(`install to the first result: ${Math.round(performance.now() - started)} ms`);
  }
  const cli = execFileSync(join(app, 'node_modules/.bin/nsjs'), ['run', '--', 'echo', 'cli'], { env, encoding: 'utf8' }).trim();
  if (cli !== 'cli') throw new Error(`the command said ${cli}`);
}

try {
  const { tarball, size, names } = packPackage(directory);
  console.log(`package: ${names.length} files, ${size} bytes`);
  checkNames(names);

  const app = join(directory, 'app');
  const root = join(app, 'node_modules/nsjs');
  const env = { ...process.env, PATH: pathWithoutCompiler() };
  const started = performance.now();
  installPacked(app, tarball, { env });
  runPrograms(app, env, started);
  if (existsSync(join(root, 'build'))) throw new Error('something was compiled at install');
  checkLinks(root, names);

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
