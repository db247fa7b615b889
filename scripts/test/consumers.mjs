// Compiles test/types/api.ts as users of the package do: as CommonJS, as ES modules and for bundlers, with several
// versions of TypeScript, and with the declarations themselves checked.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fetchPackages } from './fetched.mjs';

/** The oldest supported version and the last one that is written in JavaScript. CI compiles with the oldest only. */
const olderVersions = process.env.CI ? ['5.4'] : ['5.4', '5.9'];

// Packages that the declarations import. The oldest supported type package of Node is the one that is installed here.
const needed = ['@types/node', 'undici-types', '@opentelemetry/api'];

const common = { target: 'ES2022', lib: ['ES2022'], strict: true, noEmit: true, skipLibCheck: false };
const kinds = {
  nodenext: { files: ['api.cts', 'api.mts', 'mixed.mts'], options: { module: 'nodenext', moduleResolution: 'nodenext' } },
  bundler: { files: ['api.ts'], options: { module: 'esnext', moduleResolution: 'bundler' } },
};

const mixed = `import { NsError, type Sandbox } from 'nsjs';
import { failed, placeOf } from './api.cjs';

export const same: NsError = failed;
export const places: (sandbox: Sandbox) => object = placeOf;
`;

/** Installs an older compiler below `directory`. Returns its path, or undefined without a registry. */
function olderCompiler(version, directory) {
  const place = join(directory, `typescript-${version}`);
  const reason = fetchPackages(place, `typescript@${version}`);
  if (reason === undefined) return join(place, 'node_modules/typescript/bin/tsc');
  console.log(`skipped: TypeScript ${version}: ${reason}`);
  return undefined;
}

function prepare(app) {
  for (const name of needed) cpSync(join('node_modules', name), join(app, 'node_modules', name), { recursive: true });
  const api = 'test/types/api.ts';
  for (const name of new Set(Object.values(kinds).flatMap(({ files }) => files)))
    if (name === 'mixed.mts') writeFileSync(join(app, name), mixed);
    else copyFileSync(api, join(app, name));
}

/** Compiles in `app`, into which the package is installed. Throws the messages of the compiler. */
function compile(app, compiler, [kind, { files, options }], exactOptionalPropertyTypes) {
  const project = join(app, 'tsconfig.json');
  writeFileSync(project, JSON.stringify({ compilerOptions: { ...common, ...options, exactOptionalPropertyTypes }, files }));
  const { status, stdout, error } = spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' });
  if (status === 0) return;
  const settings = `${kind}, exactOptionalPropertyTypes ${exactOptionalPropertyTypes}`;
  throw new Error(`${compiler} (${settings}):\n${error?.message ?? stdout}`);
}

/** `app`: a project into which the package is installed. `directory`: a place for compilers. */
export function compileConsumers(app, directory) {
  prepare(app);
  const newest = resolve('node_modules/typescript/bin/tsc');
  const compilers = [...olderVersions.map((version) => olderCompiler(version, directory)), newest].filter(Boolean);
  for (const compiler of compilers) {
    for (const kind of Object.entries(kinds)) for (const exact of [true, false]) compile(app, compiler, kind, exact);
    const { version } = JSON.parse(readFileSync(join(compiler, '../../package.json'), 'utf8'));
    console.log(`types: TypeScript ${version}: clean`);
  }
}
