import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { filterText, precompiledFilter, type WrittenFilter } from '../../../dist/features/precompiled-filters';
import { seccomp } from '../../../dist/features/seccomp';
import { filterFor, makeFilter, policyFor } from '../../../dist/features/seccomp-filter';
import type { Spec } from '../../../dist/features/spec';
import { presets } from '../../../dist/options/presets';
import type { Arch } from '../../../dist/seccomp/tables';

const written = (arch: Arch): readonly WrittenFilter[] =>
  JSON.parse(readFileSync(join(__dirname, '../../../dist/filters', `${arch}.json`), 'utf8'));

const bind = { type: 'bind', readonly: false } as const;

/** The parts of a spec that its filter depends on. */
const specOf = (name: keyof typeof presets, mounts: readonly object[] = []): Spec => {
  const { seccomp: source, nestedUserNamespaces = false, netlink = false } = presets[name];
  const rest = { root: undefined, namespaces: { mnt: true }, landlock: { level: 'off' }, nestedUserNamespaces, netlink, mounts };
  return { ...rest, seccomp: seccomp.parse(source, 'seccomp') } as unknown as Spec;
};

const names = (Object.keys(presets) as (keyof typeof presets)[]).filter((name) => presets[name].seccomp !== 'off');

describe.each(['x64', 'arm64'] as const)('filters for %s in the package', (arch) => {
  const own = process.arch;
  beforeAll(() => Object.defineProperty(process, 'arch', { value: arch }));
  afterAll(() => Object.defineProperty(process, 'arch', { value: own }));

  test.each(names)('that of %s is the one that its policy is compiled to', (name) => {
    for (const mounts of [[], [bind]]) {
      const spec = specOf(name, mounts);
      const { bytes, instructions, hash, refusesUserNamespaces } = makeFilter(policyFor(spec));
      const found = written(arch).filter((one) => one.hash === hash);
      expect(found.length).toBeGreaterThan(0);
      expect(found[0]).toMatchObject({ bytes: Buffer.from(bytes).toString('base64'), instructions, refusesUserNamespaces });
    }
  });

  test('each key stands once', () => {
    const keys = written(arch).map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

test.each(names)('a run with preset %s finds its filter', (name) => {
  const spec = specOf(name);
  const { allow, deny } = spec.seccomp as Exclude<Spec['seccomp'], 'off'>;
  expect(precompiledFilter([allow, deny, null, spec.nestedUserNamespaces, spec.netlink, false])).toBe(filterFor(spec));
});

test('another policy is compiled', () => {
  const spec = { ...specOf('untrusted'), seccomp: seccomp.parse({ deny: ['ptrace', 'personality'] }, 'seccomp') } as unknown as Spec;
  const { bytes, hash } = filterFor(spec);
  expect(hash).toBe(makeFilter(policyFor(spec)).hash);
  expect(written(process.arch as Arch).map((one) => one.hash)).not.toContain(hash);
  expect(bytes.length % 8).toBe(0);
});

test('one choice more makes another key', () => {
  const { allow, deny } = specOf('untrusted').seccomp as Exclude<Spec['seccomp'], 'off'>;
  const filters = [false, true].flatMap((nested) =>
    [false, true].flatMap((netlink) =>
      [false, true].map((writes) => precompiledFilter([allow, deny, null, nested, netlink, writes])?.hash),
    ),
  );
  expect(new Set(filters).size).toBe(8);
  expect(filters).not.toContain(undefined);
});

test('equal policies have equal keys, and others do not, whatever BigInt.prototype.toJSON says', () => {
  const numbers = [0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_fffen];
  Object.defineProperty(BigInt.prototype, 'toJSON', { value: () => 0, configurable: true });
  try {
    expect(filterText([{ value: numbers[0] }])).toBe(filterText([{ value: numbers[0] }]));
    expect(filterText([{ value: numbers[0] }])).not.toBe(filterText([{ value: numbers[1] }]));
  } finally {
    Reflect.deleteProperty(BigInt.prototype, 'toJSON');
  }
});
