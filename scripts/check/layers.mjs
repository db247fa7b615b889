// Checks the structure of the code: directories import only those below them, files do not import each other in a
// circle, every file of lib is in a directory, and files and functions stay within their size limits. Parses the syntax
// tree. `layers.mjs DIRECTORY` checks another tree, `--numbers` prints the table of sizes.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { parse } from '@babel/parser';

const [root = '.'] = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const maxFile = 400;
const maxFunction = 50;
const maxParameters = 5;

/** Directories of lib, the lowest first. Each may import those before it. */
const order = [
  ...['base', 'native', 'proc', 'netlink', 'seccomp', 'plan', 'tar', 'dbus', 'sys', 'host', 'fs', 'cgroup', 'features', 'options'],
  ...['egress', 'network', 'monitor', 'setup', 'launcher', 'report', 'syscalls', 'run', 'runtime', 'namespace', 'sandbox', 'oci'],
  ...['metrics', 'probe', 'cli', 'index'],
];

/** Directories that each C++ directory may include besides itself. */
const includes = {
  'src/sys': [],
  'src/plan': ['src/sys'],
  'src/launch': ['src/plan', 'src/sys'],
  'src/addon': ['src/plan', 'src/sys'],
};

const problems = [];
const list = (directory) => {
  const path = join(root, directory);
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)));
};
const read = (path) => readFileSync(join(root, path), 'utf8');
const sizes = { files: [], functions: [], parameters: [], 'mutable public fields of a class': [] };

function checkSize(file, text) {
  const lines = text.split('\n').length - 1;
  sizes.files.push(lines);
  if (lines > maxFile && !file.includes('/tables/')) problems.push(`${file}: ${lines} lines, the limit is ${maxFile}`);
}

/** Calls `visit` with a node and with each node below it. */
function walk(node, visit) {
  if (Array.isArray(node)) for (const one of node) walk(one, visit);
  if (typeof node?.type !== 'string') return;
  visit(node);
  for (const [key, value] of Object.entries(node)) if (key !== 'loc' && typeof value === 'object') walk(value, visit);
}

/** Returns the module that a node imports, by value or by type. */
function imported(node) {
  if (/^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type)) return node.source?.value;
  if (node.type === 'TSImportType') return (node.argument.literal ?? node.argument).value;
  if (node.type === 'ImportExpression') return node.source.value;
  const isCall = node.type === 'CallExpression' && (node.callee.type === 'Import' || node.callee.name === 'require');
  return isCall && node.arguments[0]?.type === 'StringLiteral' ? node.arguments[0].value : undefined;
}

function checkFunction(file, node) {
  if (!/Function|Method/.test(node.type) || !node.body || /^TS/.test(node.type)) return;
  const lines = node.loc.end.line - node.loc.start.line + 1;
  sizes.functions.push(lines);
  sizes.parameters.push(node.params.length);
  const at = `${file}:${node.loc.start.line}`;
  if (lines > maxFunction) problems.push(`${at}: a function of ${lines} lines, the limit is ${maxFunction}`);
  if (node.params.length > maxParameters) problems.push(`${at}: ${node.params.length} parameters, the limit is ${maxParameters}`);
}

/** Counts the fields of a class that code outside it can write. */
function checkClass(node) {
  if (node.type !== 'ClassBody') return;
  const isOpen = ({ accessibility, readonly }) => !readonly && (accessibility === undefined || accessibility === 'public');
  const fields = node.body.filter(({ type, static: isStatic }) => type === 'ClassProperty' && !isStatic);
  const own = node.body.flatMap(({ kind, params = [] }) => (kind === 'constructor' ? params : []));
  const properties = own.filter(({ type, accessibility, readonly }) => type === 'TSParameterProperty' && (accessibility ?? readonly));
  sizes['mutable public fields of a class'].push([...fields, ...properties].filter(isOpen).length);
}

function fileOf(path) {
  return [`${path}.ts`, path.replace(/\.js$/, '.ts'), `${path}/index.ts`].find((name) => existsSync(join(root, name)));
}

const directoryOf = (file) => (/^lib\/[^/]+$/.test(file) ? file.slice(4, -3) : file.split('/')[1]);

const imports = new Map();
for (const file of list('lib').filter((name) => name.endsWith('.ts'))) {
  const text = read(file);
  checkSize(file, text);
  if (/^lib\/[^/]+$/.test(file) && file !== 'lib/index.ts') problems.push(`${file} is not in a directory of lib: move it into one`);
  else if (!order.includes(directoryOf(file))) problems.push(`${file}: scripts/check/layers.mjs does not list its directory`);
  const targets = [];
  walk(parse(text, { sourceType: 'module', plugins: ['typescript', 'explicitResourceManagement'] }).program, (node) => {
    checkFunction(file, node);
    checkClass(node);
    const path = imported(node);
    if (!path?.startsWith('.')) return;
    const target = fileOf(normalize(join(dirname(file), path)));
    if (target === undefined) problems.push(`${file} imports ${path}, which does not exist`);
    else targets.push(target);
  });
  imports.set(file, targets);
  for (const target of targets)
    if (order.indexOf(directoryOf(target)) > order.indexOf(directoryOf(file)))
      problems.push(`${file} imports ${target}, which is above it`);
}

/** Finds groups of files that import each other, directly or indirectly (Tarjan's algorithm). */
function circles() {
  const found = [];
  const [index, low, stack] = [new Map(), new Map(), []];
  const visit = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    stack.push(file);
    for (const next of imports.get(file) ?? []) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file), low.get(next)));
    }
    if (low.get(file) !== index.get(file)) return;
    const members = stack.splice(stack.indexOf(file));
    if (members.length > 1 || imports.get(file)?.includes(file)) found.push(members);
  };
  for (const file of imports.keys()) if (!index.has(file)) visit(file);
  return found;
}
for (const members of circles()) problems.push(`circular imports: ${members.sort().join(', ')}`);

for (const file of list('src')) {
  const text = read(file);
  checkSize(file, text);
  const home = (path) => Object.keys(includes).find((directory) => path.startsWith(`${directory}/`)) ?? dirname(path);
  const from = home(file);
  for (const [, path] of text.matchAll(/#include "([^"]+)"/g)) {
    const to = home(normalize(join(dirname(file), path)));
    if (includes[from] && to !== from && !includes[from].includes(to)) problems.push(`${file} includes ${path}, which is not below it`);
  }
}

if (process.argv.includes('--numbers')) {
  const at = (numbers, part) => numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) * part)];
  const row = (numbers) => [0.5, 0.9, 0.99, 1].map((part) => `${at(numbers, part)}`.padStart(6)).join('');
  console.log(`${''.padEnd(34)}  count   p50   p90   p99   max`);
  for (const [name, numbers] of Object.entries(sizes)) console.log(`${name.padEnd(34)}${`${numbers.length}`.padStart(7)}${row(numbers)}`);
  const open = sizes['mutable public fields of a class'].reduce((sum, count) => sum + count, 0);
  console.log(`${'mutable public fields, all'.padEnd(34)}${`${open}`.padStart(7)}`);
  console.log(`${'circular imports'.padEnd(34)}${`${circles().length}`.padStart(7)}`);
}
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
