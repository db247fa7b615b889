// Writes dist/filters: the seccomp filters of the presets for each architecture, compiled by the library itself.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const load = (id) => require(`../../build/lazy/${id}.js`);

const { presets } = load('options/presets');
const { seccomp } = load('features/seccomp');
const { filterText } = load('features/precompiled-filters');
const { makeFilter, policyFor } = load('features/seccomp-filter');

const choices = [false, true];
// A bind that the program may write: the filter then checks the modes of new files.
const writable = [{ type: 'bind', readonly: false }];
const readOnly = { mounts: [], root: undefined, namespaces: { mnt: true }, landlock: { level: 'off' } };

const filtersOf = (source, nested, netlinks) =>
  nested.flatMap((nestedUserNamespaces) =>
    netlinks.flatMap((netlink) =>
      choices.map((writes) => ({
        ...readOnly,
        seccomp: seccomp.parse(source, 'seccomp'),
        nestedUserNamespaces,
        netlink,
        ...(writes ? { mounts: writable } : {}),
      })),
    ),
  );

/**
 * Returns the parts of specs that a filter depends on: the default profile with each option that changes it, and the
 * profiles of single presets as they are.
 */
const specs = () => [
  ...filtersOf('default', choices, choices),
  ...Object.values(presets)
    .filter(({ seccomp: source }) => typeof source === 'object')
    .flatMap(({ seccomp: source, nestedUserNamespaces = false, netlink = false }) => filtersOf(source, [nestedUserNamespaces], [netlink])),
];

function written(spec) {
  const { allow, deny, only } = spec.seccomp;
  const key = filterText([allow, deny, only ?? null, spec.nestedUserNamespaces, spec.netlink, spec.mounts.length > 0]);
  const { bytes, instructions, hash, refusesUserNamespaces } = makeFilter(policyFor(spec));
  return { key, bytes: Buffer.from(bytes).toString('base64'), instructions, hash, refusesUserNamespaces };
}

mkdirSync('dist/filters', { recursive: true });
for (const arch of ['x64', 'arm64']) {
  // The rules of a preset depend on the calls that an architecture has.
  Object.defineProperty(process, 'arch', { value: arch });
  writeFileSync(`dist/filters/${arch}.json`, JSON.stringify(specs().map(written)));
}
