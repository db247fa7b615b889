// Imports point down only (C++ and TypeScript), files keep to their budget.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const maxLines = 250;
const files = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );

/** What each folder may import beside itself. */
const allowed = {
  'src/sys': [],
  'src/plan': ['src/sys'],
  'src/launch': ['src/plan', 'src/sys'],
  'src/addon': ['src/plan', 'src/sys'],
  'lib/seccomp': ['lib'],
  'lib/netlink': ['lib'],
  'lib/network': ['lib', 'lib/sys', 'lib/netlink', 'lib/features', 'lib/monitor'],
  'lib/plan': ['lib'],
  'lib/cgroup': ['lib'],
  'lib/monitor': ['lib', 'lib/cgroup', 'lib/features'],
  'lib/dbus': ['lib'],
  'lib/metrics': ['lib/monitor'],
  'lib/features': ['lib', 'lib/cgroup', 'lib/plan', 'lib/seccomp', 'lib/netlink'],
  'lib/launch': ['lib', 'lib/plan', 'lib/seccomp', 'lib/cgroup', 'lib/features', 'lib/monitor', 'lib/network', 'lib/sys'],
  'lib/fs': ['lib', 'lib/sys', 'lib/tar'],
  'lib/tar': ['lib'],
  'lib/oci': ['lib', 'lib/sys', 'lib/tar', 'lib/launch', 'lib/features'],
  'lib/sys': ['lib', 'lib/seccomp', 'lib/netlink'],
};
// Of the files directly in lib, these are floor 0: what is below them may not import upward.
const top = [
  'index',
  'explain',
  'probe',
  'presets',
  'systemd-scope',
  'prometheus',
  'otel',
  'sandbox',
  'sandbox-builder',
  'sandbox-pool',
  'network',
  'sandbox-resources',
  'sandbox-overlay',
  'sandbox-pasta',
  'sandbox-mount',
  'mount-tree',
  'seccomp-filter',
  'namespace',
  'namespace-create',
  'namespace-inspect',
  'namespace-reference',
  'namespace-set',
  'namespace-target',
  'list-namespaces',
].map((name) => `lib/${name}.ts`);

const home = (file) => Object.keys(allowed).find((folder) => file.startsWith(`${folder}/`)) ?? dirname(file);
const problems = [];

function imports(file, text) {
  if (file.endsWith('.ts')) return [...text.matchAll(/from '(\.[^']*)'/g)].map(([, path]) => normalize(join(dirname(file), path)));
  return [...text.matchAll(/#include "([^"]+)"/g)].map(([, path]) => normalize(join(dirname(file), path)));
}

for (const file of [...files('src'), ...files('lib')].map((path) => relative('.', path))) {
  const text = readFileSync(file, 'utf8');
  const lines = text.split('\n').length;
  if (lines > maxLines && !file.includes('/tables/')) problems.push(`${file}: ${lines} lines, the limit is ${maxLines}`);
  const from = home(file);
  for (const target of imports(file, text)) {
    const to = home(target);
    const upward = top.includes(`${target}.ts`) && !file.startsWith('lib/cli/') && !top.includes(file) && target !== 'lib/presets';
    if (upward || (allowed[from] && to !== from && !allowed[from].includes(to))) problems.push(`${file} imports ${target}`);
  }
}
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
