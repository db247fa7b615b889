import { decide, errno, type Rule } from '../../../dist/seccomp/policy';
import { asReplaced, kernelCall, rulesOfReplaced } from '../../../dist/seccomp/replaced';
import { archTables } from '../../../dist/seccomp/tables';

const here = 0xffff_ff9cn; // AT_FDCWD as an int in a register
const replaced = ['access', 'chmod', 'chown', 'lchown', 'link', 'mkdir', 'readlink', 'rename', 'rmdir', 'symlink', 'unlink'];

describe('the call that an architecture makes', () => {
  test.each<[string, 'x64' | 'arm64', string | undefined]>([
    ['mkdir', 'x64', 'mkdir'],
    ['mkdir', 'arm64', 'mkdirat'],
    ['mkdirat', 'arm64', 'mkdirat'],
    ['fork', 'arm64', undefined],
    ['open', 'arm64', undefined],
    ['constructor', 'arm64', undefined],
  ])('%s on %s: %s', (name, arch, expected) => {
    expect(kernelCall(name, arch)).toBe(expected);
  });

  test('exists there, and x64 has the replaced one', () => {
    for (const name of replaced) {
      expect(archTables.x64.numbers[name]).toBeDefined();
      expect(archTables.arm64.numbers[name]).toBeUndefined();
      expect(archTables.arm64.numbers[kernelCall(name, 'arm64') ?? '']).toBeDefined();
    }
  });
});

describe('a call as the one that it replaces', () => {
  const args = (...given: readonly bigint[]) => [...given, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6);

  test.each<[string, readonly bigint[], string, readonly bigint[]]>([
    ['mkdirat', args(here, 7n, 0o755n), 'mkdir', args(7n, 0o755n)],
    ['mkdirat', args(0xffff_ffff_ffff_ff9cn, 7n, 1n), 'mkdir', args(7n, 1n)],
    // The kernel reads the low 32 bits of a descriptor.
    ['mkdirat', args(0x1234_ffff_ff9cn, 7n, 1n), 'mkdir', args(7n, 1n)],
    ['unlinkat', args(here, 7n, 0n), 'unlink', args(7n)],
    ['unlinkat', args(here, 7n, 0x200n), 'rmdir', args(7n)],
    ['renameat', args(here, 7n, here, 8n), 'rename', args(7n, 8n)],
    ['linkat', args(here, 7n, here, 8n, 0n), 'link', args(7n, 8n)],
    ['symlinkat', args(7n, here, 8n), 'symlink', args(7n, 8n)],
    ['fchownat', args(here, 7n, 1n, 2n, 0x100n), 'lchown', args(7n, 1n, 2n)],
  ])('%s %j is %s', (name, given, expected, inPlace) => {
    expect(asReplaced({ name, args: given }, replaced, 'arm64')).toEqual({ name: expected, args: inPlace });
    expect(asReplaced({ name, args: given }, replaced, 'x64')).toBeUndefined();
  });

  test.each<[string, readonly bigint[]]>([
    ['mkdirat', args(5n, 7n, 0o755n)],
    ['unlinkat', args(here, 7n, 0x400n)],
    ['renameat', args(here, 7n, 3n, 8n)],
    ['linkat', args(here, 7n, here, 8n, 0x400n)],
    ['fchownat', args(here, 7n, 1n, 2n, 0x1000n)],
    ['openat', args(here, 7n)],
  ])('%s %j is none', (name, given) => {
    expect(asReplaced({ name, args: given }, replaced, 'arm64')).toBeUndefined();
  });

  test('only wanted calls are considered', () => {
    expect(asReplaced({ name: 'mkdirat', args: args(here) }, ['rmdir', 'mkdirat'], 'arm64')).toBeUndefined();
  });
});

describe('a denial of a call that the architecture lacks', () => {
  const deny = (rule: Partial<Rule>): Rule => ({ names: [], action: errno(1), why: 'deny', ...rule });
  const decisionOf = (rule: Partial<Rule>, name: string, ...args: readonly bigint[]) =>
    decide({ rules: rulesOfReplaced([deny(rule)], 'arm64'), otherwise: { kind: 'allow' } }, name, args).kind;

  test('applies to the call in its place, in the same form only', () => {
    expect(decisionOf({ names: ['mkdir', 'uname'] }, 'mkdirat', here, 7n)).toBe('errno');
    expect(decisionOf({ names: ['mkdir'] }, 'mkdirat', 5n, 7n)).toBe('allow');
    expect(decisionOf({ names: ['unlink'] }, 'unlinkat', here, 7n, 0x200n)).toBe('allow');
    expect(decisionOf({ names: ['uname'] }, 'uname')).toBe('allow');
  });

  test('keeps its conditions, on the same arguments', () => {
    const when = [{ index: 1, op: 'eq', mask: 0o6000n, value: 0o4000n, width: 64 }] as const;
    expect(decisionOf({ names: ['chmod'], when }, 'fchmodat', here, 7n, 0o4755n)).toBe('errno');
    expect(decisionOf({ names: ['chmod'], when }, 'fchmodat', here, 0o4755n, 0o755n)).toBe('allow');
    const other = [{ index: 5, op: 'eq', value: 0n, width: 64 }] as const;
    expect(rulesOfReplaced([deny({ names: ['chmod'], when: other })], 'arm64')).toEqual([]);
  });

  test('adds nothing where the call exists', () => {
    expect(rulesOfReplaced([deny({ names: ['mkdir'] })], 'x64')).toEqual([]);
  });
});
