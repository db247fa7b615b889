// Generates types/, the declarations of the public API: one file for each entry of the package. `--check` only
// compares.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from '@babel/parser';
import { CompilerState, Extractor, ExtractorConfig } from '@microsoft/api-extractor';

const target = 'types';
const emitted = 'build/declarations';

/** Files of lib by entry. A declaration of several entries is in the first of these that exports it. */
const entries = { sys: 'sys/index', netlink: 'sys/netlink', index: 'index', otel: 'metrics/otel' };

function run(args, input) {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, { encoding: 'utf8', input });
  if (status !== 0) throw new Error(`${args.join(' ')} failed:\n${error?.message ?? stdout + stderr}`);
  return stdout;
}

const configFor = (entry) =>
  ExtractorConfig.prepare({
    packageJsonFullPath: resolve('package.json'),
    configObject: {
      projectFolder: process.cwd(),
      mainEntryPointFilePath: resolve(emitted, `${entries[entry]}.d.ts`),
      compiler: { tsconfigFilePath: resolve('tsconfig.json') },
      dtsRollup: { enabled: true, untrimmedFilePath: resolve(emitted, `rolled-up/${entry}.d.ts`) },
      newlineKind: 'lf',
    },
  });

/** Combines the declarations that an entry needs into one file, and returns its text. */
function rollUp(config, compilerState) {
  const problems = [];
  Extractor.invoke(config, {
    localBuild: true,
    compilerState,
    // The other messages are about tags and reports that this project does not use.
    messageCallback: (message) => {
      if (message.category === 'Compiler') problems.push(message.text);
      message.logLevel = 'none';
    },
  });
  if (problems.length > 0) throw new Error(`the declarations of lib do not compile:\n${problems.join('\n')}`);
  return readFileSync(config.untrimmedFilePath, 'utf8');
}

const syntax = (text) => parse(text, { sourceType: 'module', plugins: [['typescript', { dts: true }]] }).program.body;

// Node 20 lacks Map.groupBy().
function groupBy(list, keyOf) {
  const groups = new Map();
  for (const one of list) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

/** Replaces parts of a text, given as nodes with their new text. An empty text also removes the line. */
function replaced(text, changes) {
  const lastFirst = changes.toSorted(([a], [b]) => b.start - a.start);
  return lastFirst.reduce((all, [{ start, end }, by]) => {
    const before = all.slice(0, start);
    return (by === '' ? before.trimEnd() : before) + by + all.slice(end);
  }, text);
}

const isInternal = ({ leadingComments = [] }) => leadingComments.at(-1)?.value.includes('@internal') ?? false;

/** A member with its comments, which are in the text before it. */
const withComments = ({ start, end, leadingComments = [] }) => ({ start: leadingComments[0]?.start ?? start, end });

// Names and types of private members are no part of the API, but that there are some is: they make the class nominal.
function publicMembers({ body }) {
  const isConstructor = ({ kind }) => kind === 'constructor';
  const hidden = body.filter((member) => !isConstructor(member) && (member.accessibility === 'private' || isInternal(member)));
  const closed = body.filter((member) => isConstructor(member) && isInternal(member));
  const nominal = hidden.find(({ accessibility }) => accessibility === 'private');
  return [
    ...hidden.map((member) => [withComments(member), member === nominal ? '#private;' : '']),
    ...closed.map((member) => [withComments(member), `${member.accessibility === 'protected' ? 'protected' : 'private'} constructor();`]),
  ];
}

/** Removes everything from a declaration file that users of the package cannot use. */
function withoutInternals(text) {
  const classes = syntax(text)
    .map((statement) => statement.declaration ?? statement)
    .filter(({ type }) => type === 'ClassDeclaration');
  return replaced(
    text,
    classes.flatMap(({ body }) => publicMembers(body)),
  );
}

/** Calls `visit` with the name of each declaration that a node refers to. */
function visitReferences(node, visit) {
  if (Array.isArray(node)) for (const one of node) visitReferences(one, visit);
  if (typeof node?.type !== 'string') return;
  const heritage = /^(TSExpressionWithTypeArguments|TSInterfaceHeritage|TSClassImplements)$/.test(node.type) ? node.expression : undefined;
  let name = node.typeName ?? node.exprName ?? node.superClass ?? heritage;
  while (name?.left) name = name.left;
  if (name?.type === 'Identifier') visit(name.name);
  for (const [key, value] of Object.entries(node)) if (key !== 'loc' && typeof value === 'object') visitReferences(value, visit);
}

/** Splits a rolled-up file into its imports (by local name) and its declarations. */
function read(text) {
  const imports = new Map();
  const declarations = [];
  let from = 0;
  for (const statement of syntax(text)) {
    const { type, start, end, source, specifiers, declaration = statement } = statement;
    if (type === 'ImportDeclaration') {
      for (const { local, imported } of specifiers) imports.set(local.name, { module: source.value, name: imported.name });
    } else if (declaration) {
      const name = (declaration.id ?? declaration.declarations?.[0].id)?.name;
      if (name === undefined) throw new Error(`unexpected declaration: ${text.slice(start, end)}`);
      const uses = new Set();
      visitReferences(declaration, (used) => uses.add(used));
      const isNominal = /^(ClassDeclaration|TSEnumDeclaration)$/.test(declaration.type);
      declarations.push({ name, uses, isNominal, isExported: declaration !== statement, text: text.slice(from, end).trim() });
    }
    from = end;
  }
  return { imports, declarations };
}

/** Replaces declarations that other entries export by imports, so that a type is the same in every entry. */
function share(files) {
  const owners = new Map();
  for (const [entry, { declarations }] of files)
    for (const { name, text, isExported } of declarations) if (isExported && !owners.has(name)) owners.set(name, { entry, text });
  for (const [entry, file] of files) {
    const isShared = ({ name, text }) => {
      const owner = owners.get(name);
      return owner !== undefined && owner.entry !== entry && owner.text.replace(/^export /m, '') === text.replace(/^export /m, '');
    };
    file.shared = file.declarations.filter(isShared).map(({ name, isExported }) => ({ name, isExported, entry: owners.get(name).entry }));
    file.declarations = file.declarations.filter((declaration) => !isShared(declaration));
  }
}

/** Removes declarations and imports that no exported declaration needs. */
function shake(file) {
  const byName = groupBy(file.declarations, ({ name }) => name);
  const needed = new Set();
  const need = (name) => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const { uses } of byName.get(name) ?? []) uses.forEach(need);
  };
  for (const { name, isExported } of [...file.declarations, ...file.shared]) if (isExported) need(name);
  file.declarations = file.declarations.filter(({ name }) => needed.has(name));
  file.shared = file.shared.filter(({ name }) => needed.has(name));
  file.imports = new Map([...file.imports].filter(([name]) => needed.has(name)));
}

// Two declarations of one class are different types.
function refuseDuplicates(files) {
  const classes = [...files.values()].flatMap(({ declarations }) => declarations.filter(({ isNominal }) => isNominal));
  for (const [name, { length }] of groupBy(classes, (one) => one.name))
    if (length > 1) throw new Error(`class ${name} is declared in several entries: export it from one of them`);
}

function print({ about, imports, shared, declarations }) {
  const named = [
    ...[...imports].map(([local, { module, name }]) => ({ module, name: name === local ? name : `${name} as ${local}` })),
    ...shared.map(({ name, entry }) => ({ module: `./${entry}.js`, name })),
  ];
  const lines = [...groupBy(named, ({ module }) => module)]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([module, list]) => `import { ${list.map(({ name }) => name).join(', ')} } from '${module}';`);
  const again = shared.filter(({ isExported }) => isExported).map(({ name }) => name);
  return [
    // TypeScript 6 and later load no type packages by themselves.
    '// Generated by scripts/build/types.mjs from the declarations of lib.\n/// <reference types="node" />',
    about,
    lines.join('\n'),
    ...declarations.map(({ text }) => text),
    `export { ${again.join(', ')} };\n`,
  ]
    .filter(Boolean)
    .join('\n\n');
}

const format = (name, text) => run(['node_modules/@biomejs/biome/bin/biome', 'format', `--stdin-file-path=${target}/${name}`], text);

/** Returns the files of types/ by name. */
function generate() {
  rmSync(emitted, { recursive: true, force: true });
  const flags = ['--emitDeclarationOnly', '--inlineSourceMap', 'false', '--incremental', 'false', '--tsBuildInfoFile', 'null'];
  run(['node_modules/typescript/bin/tsc', '-p', '.', ...flags, '--declarationDir', emitted]);
  const configs = new Map(Object.keys(entries).map((entry) => [entry, configFor(entry)]));
  const [first, ...others] = configs.values();
  const additionalEntryPoints = others.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath);
  const compilerState = CompilerState.create(first, { additionalEntryPoints });
  const files = new Map();
  for (const [entry, config] of configs) {
    // The comment of a file that only exports others describes the entry.
    const [, about] = /^(\/\*\*.*?\*\/)\nexport [^;]* from /s.exec(readFileSync(config.mainEntryPointFilePath, 'utf8')) ?? [];
    files.set(entry, { about, ...read(withoutInternals(rollUp(config, compilerState))) });
  }
  share(files);
  for (const file of files.values()) shake(file);
  refuseDuplicates(files);
  return new Map(
    [...files].flatMap(([entry, file]) => [
      [`${entry}.d.ts`, format(`${entry}.d.ts`, print(file))],
      [`${entry}.d.mts`, `export * from './${entry}.js';\n`],
    ]),
  );
}

const files = generate();
mkdirSync(target, { recursive: true });
const present = new Map(readdirSync(target).map((name) => [name, readFileSync(join(target, name), 'utf8')]));
const stale = [...new Set([...files.keys(), ...present.keys()])].filter((name) => files.get(name) !== present.get(name));
if (process.argv.includes('--check')) {
  for (const name of stale) console.error(`${target}/${name} is out of date: run scripts/build/types.mjs and commit the result`);
  process.exit(stale.length === 0 ? 0 : 1);
}
for (const name of stale) {
  if (files.has(name)) writeFileSync(join(target, name), files.get(name));
  else rmSync(join(target, name));
}
