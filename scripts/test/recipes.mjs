// Runs the recipes of docs/bundling.md with the packed package, each in a directory that has only what the recipe says.
// Prints a line for each host, and a table at the end. `--all` repeats recipes with other versions of Node;
// `recipes.mjs NAME …` runs only the recipes whose titles contain a name.
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { fetchNode, fetchPackages } from './fetched.mjs';
import { installPacked, packPackage } from './packed.mjs';

const timeoutMs = 120_000;

/** Packages that the recipes use, and that are installed here. */
const tools = ['@vercel/nft', 'esbuild', 'jest', 'jest-environment-jsdom', 'postject', 'rolldown', 'vitest', 'webpack'];

/** Programs that are fetched, with their directories. A recipe whose title begins with the name needs it. */
const fetched = {
  pnpm: [`@pnpm/exe.linux-${process.arch}@12.23.0`, `@pnpm/exe.linux-${process.arch}`],
  Yarn: ['@yarnpkg/cli-dist@4.18.1', '.bin'],
};

const otherNodes = ['22', '24', '25'];
const withOtherNodes = ['Worker threads', 'node --test', 'Single-executable applications'];

// The program prints the first, and the test runners one of the others.
const succeeded = /^hello again$|^Tests: .*\b[1-9]\d* passed|^\s*Tests\s+[1-9]\d* passed|^# pass [1-9]|^ℹ pass [1-9]/m;

/** Returns the recipes: the files by name, the commands to build and to run, and the paths to deploy, if any. */
function parse(text) {
  const [intro, ...sections] = text.split(/^## /m);
  const blocksOf = (section) => [...section.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)].map(([, name, content]) => [name, content]);
  const shared = Object.fromEntries(blocksOf(intro));
  return sections.map((section) => {
    const { build, deploy, run, ...files } = Object.fromEntries(blocksOf(section));
    return { title: section.split('\n', 1)[0], files: { ...shared, ...files }, build, deploy: deploy?.trim().split('\n'), run };
  });
}

const directory = mkdtempSync(join(tmpdir(), 'nsjs-recipes-'));
chmodSync(directory, 0o755);
const results = [];
let reportedAt = performance.now();

function report(title, result) {
  results.push([title, result]);
  console.log(`${title}: ${result} (${((performance.now() - reportedAt) / 1000).toFixed(1)} s)`);
  reportedAt = performance.now();
}

/** Runs commands and returns all that they print. */
async function shell(commands, cwd, { node = process.execPath, bin = [] } = {}) {
  const path = [dirname(node), ...bin, join(cwd, 'node_modules/.bin'), process.env.PATH].join(delimiter);
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  // Package managers keep their caches below HOME. The variable CI makes them and the test runners print plain text.
  const env = { ...inherited, PATH: path, HOME: join(directory, 'home'), CI: '1', NO_COLOR: '1' };
  const { stdout, stderr } = await promisify(execFile)('sh', ['-ec', commands], { cwd, env, timeout: timeoutMs });
  return `${stdout}${stderr}`;
}

/** Makes a directory with the files of a recipe, and with nsjs and the tools unless the recipe installs nsjs itself. */
function prepare(name, { files, run }, installed) {
  const app = join(directory, 'apps', name);
  mkdirSync(join(app, 'node_modules/.bin'), { recursive: true });
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }\n');
  for (const [file, content] of Object.entries(files)) writeFileSync(join(app, file), content);
  if (/\badd nsjs\b/.test(run)) {
    rmSync(join(app, 'node_modules'), { recursive: true });
    return app;
  }
  cpSync(join(installed, 'node_modules/nsjs'), join(app, 'node_modules/nsjs'), { recursive: true });
  for (const tool of tools) {
    mkdirSync(dirname(join(app, 'node_modules', tool)), { recursive: true });
    symlinkSync(resolve('node_modules', tool), join(app, 'node_modules', tool));
  }
  for (const bin of readdirSync('node_modules/.bin')) symlinkSync(resolve('node_modules/.bin', bin), join(app, 'node_modules/.bin', bin));
  return app;
}

/** Moves the deployed paths to another directory, and removes the application. */
function move(app, paths) {
  const moved = join(directory, 'deployed', basename(app));
  for (const path of paths) {
    mkdirSync(dirname(join(moved, path)), { recursive: true });
    renameSync(join(app, path), join(moved, path));
  }
  rmSync(app, { recursive: true });
  return moved;
}

/** A run does not show every missing file: nsjs compiles filters that it does not find, and some are for images. */
function checkTraced(place, { names }) {
  const needed = names.filter((name) => /^dist\/(chunks|filters|egress|monitor|oci)\/.*\.(js|json)$|^prebuilds\/.*\.node$/.test(name));
  const missing = needed.filter((name) => !existsSync(join(place, name)));
  if (needed.length === 0 || missing.length > 0) throw new Error(`not traced: ${missing}`);
}

/** Runs one recipe. Throws an error with the output of the command that failed. */
async function follow(recipe, packed, options) {
  const app = prepare(recipe.title.replace(/\W+/g, '-'), recipe, packed.app);
  if (recipe.build) await shell(recipe.build, app, options);
  const place = recipe.deploy ? move(app, recipe.deploy) : app;
  if (recipe.title === '@vercel/nft') checkTraced(join(place, 'out/node_modules/nsjs'), packed);
  const output = await shell(recipe.run.replace(/\badd nsjs\b/, `add ${packed.tarball}`), place, options);
  rmSync(place, { recursive: true });
  // A worker thread that cannot be started is reported as a warning.
  if (!succeeded.test(output) || output.includes('NsjsWarning')) throw new Error(`unexpected output: ${output}`);
}

const lastLines = (text) => text.trim().split('\n').slice(-15).join('\n');

async function check(title, act) {
  try {
    await act();
    report(title, 'pass');
  } catch (error) {
    report(title, `fail: ${lastLines([error.stdout, error.stderr, error.message].filter(Boolean).join('\n'))}`);
  }
}

/** A bundle that contains nsjs, made with the one external package that esbuild itself asks for. */
async function swallow({ app }) {
  const place = join(directory, 'swallowed');
  mkdirSync(place);
  await build({
    stdin: { contents: "require('nsjs').spawnIsolatedSync('true')", resolveDir: app },
    bundle: true,
    platform: 'node',
    outfile: join(place, 'app.cjs'),
    external: ['@opentelemetry/api'],
    logLevel: 'silent',
  });
  const error = await shell('node app.cjs', place).catch((failure) => failure.stderr);
  if (!/ERR_NSJS_NATIVE/.test(error) || !/mark nsjs as external/.test(error)) throw new Error(`unexpected: ${error}`);
}

/** Runs a recipe, after what it needs has been fetched. */
async function runRecipe(recipe, packed) {
  const name = Object.keys(fetched).find((prefix) => recipe.title.startsWith(prefix));
  if (!recipe.run) return report(recipe.title, 'skipped: the recipe has no commands');
  if (!name) return check(recipe.title, () => follow(recipe, packed));
  const [wanted, bin] = fetched[name];
  const reason = fetchPackages(join(directory, 'fetched', name), wanted);
  if (reason !== undefined) return report(recipe.title, `skipped: ${wanted} could not be fetched: ${reason}`);
  return check(recipe.title, () => follow(recipe, packed, { bin: [join(directory, 'fetched', name, 'node_modules', bin)] }));
}

/** Node 25 can also build the executable by itself, as the recipe says. */
const built = (recipe) => ({
  ...recipe,
  build: 'node --build-sea sea.json',
  files: { ...recipe.files, 'sea.json': recipe.files['sea.json'].replace('app.blob', 'app') },
});

async function runWithNode(version, recipes, packed) {
  const { node, reason } = fetchNode(join(directory, 'fetched', version), version);
  for (const recipe of recipes.filter(({ title }) => withOtherNodes.includes(title))) {
    const title = `${recipe.title}, Node ${version}`;
    if (!node) report(title, `skipped: Node ${version} could not be fetched: ${reason}`);
    else await check(title, () => follow(recipe, packed, { node }));
    if (node && version === '25' && recipe.files['sea.json'])
      await check(`${title}, --build-sea`, () => follow(built(recipe), packed, { node }));
  }
}

function table() {
  const width = Math.max(...results.map(([title]) => title.length));
  return results.map(([title, result]) => `${title.padEnd(width)}  ${result.split('\n', 1)[0]}`).join('\n');
}

const words = process.argv.slice(2);
const countFile = words.find((word) => word.startsWith('--count='))?.slice('--count='.length);
const chosen = words.filter((word) => !word.startsWith('--'));
const isChosen = (title) => chosen.length === 0 || chosen.some((word) => title.toLowerCase().includes(word.toLowerCase()));

try {
  mkdirSync(join(directory, 'home'));
  const packed = { app: join(directory, 'installed'), ...packPackage(directory) };
  installPacked(packed.app, packed.tarball);
  const recipes = parse(readFileSync('docs/bundling.md', 'utf8')).filter(({ title }) => isChosen(title));
  for (const recipe of recipes) await runRecipe(recipe, packed);
  if (words.includes('--all')) for (const version of otherNodes) await runWithNode(version, recipes, packed);
  if (isChosen('a bundle that contains nsjs')) await check('a bundle that contains nsjs fails and says why', () => swallow(packed));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

const count = (word) => results.filter(([, result]) => result.startsWith(word)).length;
const totals = { passed: count('pass'), failed: count('fail'), skipped: count('skipped') };
console.log(`\n${table()}\n\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (countFile) writeFileSync(countFile, JSON.stringify(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
