// Options of every kind: they are refused with a typed error, or lead to a plan that is no weaker than they require.
import fc from 'fast-check';
import { explain, type SandboxOptions } from 'nsjs';
import { presetNames } from '../../../dist/features';
import { capabilityNames } from '../../../dist/features/capabilities';
import { parseSandboxOptions } from '../../../dist/options/spec';

const path = fc.constantFrom('/tmp', '/usr', '/etc/ssl', '/a', '/a/b', '/tmp/x', '/', '//x/', 'relative', '/a/../b', '/nul\0', '');
const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(undefined, null, true, 0, -1, 1.5, Number.NaN, '', 'x', [], {}, 2 ** 40),
  fc.anything({ maxDepth: 2 }),
);
const bytes = fc.oneof(fc.integer({ min: -1, max: 2 ** 31 }), fc.constantFrom('64M', '1G', '1', 'M', '-1M', '0K'));
const level = fc.constantFrom('require', 'prefer', 'off');
const mount = fc.oneof(
  fc.record({ type: fc.constant('bind'), source: path, target: path, readonly: fc.boolean() }, { requiredKeys: ['type', 'source'] }),
  fc.record(
    { type: fc.constant('tmpfs'), target: path, size: bytes, inodes: fc.integer(), mode: fc.integer() },
    { requiredKeys: ['type', 'target'] },
  ),
  fc.record({ type: fc.constantFrom('proc', 'dev', 'mask', 'readonly'), target: path }),
  fc.record({ type: fc.constant('file'), target: path, data: fc.string() }),
  fc.record({ type: fc.constant('symlink'), target: path, to: path }),
  fc.record(
    { type: fc.constant('overlay'), target: path, lower: fc.oneof(path, fc.array(path, { maxLength: 3 })), size: bytes },
    { requiredKeys: ['type', 'target', 'lower'] },
  ),
  junk,
);
const capability = fc.constantFrom(...capabilityNames, 'CAP_NONE');
const options = fc.record(
  {
    preset: fc.constantFrom(...presetNames),
    root: fc.oneof(fc.constantFrom('system', 'empty', 'host', '/usr'), fc.record({ lower: path }), junk),
    mounts: fc.array(mount, { maxLength: 5 }),
    proc: fc.constantFrom('pids', 'masked', 'prefer', 'full', 'off'),
    namespaces: fc.record(
      { user: fc.boolean(), mnt: fc.boolean(), pid: fc.boolean(), net: fc.boolean(), time: fc.boolean() },
      { requiredKeys: [] },
    ),
    user: fc.oneof(
      fc.record(
        { uid: fc.integer(), gid: fc.integer(), inner: fc.boolean(), ids: fc.constantFrom('one', 'range', 'keep') },
        { requiredKeys: [] },
      ),
      junk,
    ),
    network: fc.constantFrom('none', 'host'),
    capabilities: fc.oneof(
      fc.array(capability, { maxLength: 4 }),
      fc.constant('all' as const),
      fc.record(
        { permitted: fc.array(capability, { maxLength: 3 }), ambient: fc.array(capability, { maxLength: 2 }) },
        { requiredKeys: [] },
      ),
    ),
    seccomp: fc.oneof(
      fc.constantFrom('default', 'off'),
      fc.record(
        {
          allow: fc.array(fc.constantFrom('mount', '@network', 'chmod', 'mout')),
          deny: fc.array(fc.constantFrom('connect', '@file', '@ipc')),
          only: fc.array(fc.constantFrom('read', '@io')),
        },
        { requiredKeys: [] },
      ),
    ),
    landlock: fc.oneof(
      level,
      fc.record(
        { read: fc.array(path), write: fc.array(path), bindTcp: fc.array(fc.integer({ min: -1, max: 70_000 })) },
        { requiredKeys: [] },
      ),
    ),
    noNewPrivileges: fc.boolean(),
    nestedUserNamespaces: fc.boolean(),
    limits: fc.oneof(
      fc.record({ memory: bytes, pids: fc.integer(), openFiles: fc.integer(), cpuTime: fc.integer() }, { requiredKeys: [] }),
      junk,
    ),
    rlimits: fc.oneof(fc.record({ core: fc.integer(), nofile: fc.integer() }, { requiredKeys: [] }), junk),
    memoryDenyWriteExecute: level,
    nice: fc.integer({ min: -30, max: 30 }),
    umask: fc.integer({ min: -1, max: 0o1000 }),
    env: fc.oneof(fc.dictionary(fc.string(), fc.string()), junk),
    hostname: fc.oneof(fc.string(), junk),
  },
  { requiredKeys: [] },
);

/** A few options at a time: among many, nearly always one would be invalid. */
const few = fc.tuple(options, fc.array(fc.nat(), { minLength: 1, maxLength: 4 })).map(([all, picks]) => {
  const keys = Object.keys(all) as (keyof typeof all)[];
  const chosen = picks.flatMap((pick) => (keys.length === 0 ? [] : [keys[pick % keys.length]]));
  return Object.fromEntries(chosen.map((key) => [key, key === undefined ? undefined : all[key]])) as SandboxOptions;
});

const typed = ['OptionError', 'OptionRangeError', 'SysError', 'NsError'];
const attr = { readonly: 1, nosuid: 2, nodev: 4 };

test('options lead to a plan that enforces them, or to a typed error', () => {
  let plans = 0;
  fc.assert(
    fc.property(few, (given) => {
      let steps: ReturnType<typeof explain>['steps'];
      try {
        ({ steps } = explain(given, 'true'));
      } catch (error) {
        expect([(error as Error).name, (error as Error).stack]).toEqual([expect.stringMatching(typed.join('|')), expect.anything()]);
        return;
      }
      plans++;
      const spec = parseSandboxOptions(given);
      const names = steps.filter(({ section }) => section === 'program').map(({ operation }) => operation);
      const at = (name: string) => names.indexOf(name);
      expect(at('Exec')).toBe(names.length - 1);
      if (spec.seccomp !== 'off') expect(at('Seccomp')).toBe(names.length - 2);
      if (spec.noNewPrivileges) expect(at('NoNewPrivs')).toBeGreaterThan(at('SetCaps'));
      expect(at('CloseFrom')).toBeGreaterThan(-1);
      if (spec.landlock.level === 'require') expect(at('LandlockRestrict')).toBeGreaterThan(at('NoNewPrivs'));
      if (spec.namespaces.user && spec.capabilities.bounding.length < capabilityNames.length) expect(at('BoundCaps')).toBeGreaterThan(-1);
      if (spec.memoryDenyWriteExecute === 'require') expect(steps.some(({ origin }) => origin === 'memoryDenyWriteExecute')).toBe(true);
      if (spec.limits.openFiles !== undefined) expect(steps.some(({ origin }) => origin === 'limits.openFiles')).toBe(true);
      checkBinds(spec, steps);
      if (spec.namespaces.mnt && spec.root !== 'host')
        expect(steps.some(({ operation }) => operation === 'PivotRoot' || operation === 'EnterRoot')).toBe(true);
      // The root `system` is always sealed read-only.
      if (spec.root === 'system' && spec.namespaces.mnt)
        expect(steps.some(({ operation, origin, args }) => operation === 'SetAttr' && origin === 'root' && args[1] === '1')).toBe(true);
    }),
    { numRuns: 1500 },
  );
  expect(plans).toBeGreaterThan(50);
});

function checkBinds(spec: ReturnType<typeof parseSandboxOptions>, steps: ReturnType<typeof explain>['steps']): void {
  for (const [index, mount] of spec.mounts.entries()) {
    if (mount.type !== 'bind') continue;
    const own = steps.filter(({ operation, origin }) => operation === 'SetAttr' && origin === `mounts[${index}]`);
    const set = Number(own[0]?.args[1] ?? 0);
    expect(set & (attr.nosuid | attr.nodev)).toBe(attr.nosuid | attr.nodev);
    expect((set & attr.readonly) !== 0).toBe(mount.readonly);
    expect(Number(own[0]?.args[3])).toBe(0x8000);
  }
}

test('arbitrary values of options never lead to an error without a type', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.constantFrom(
          'preset',
          'root',
          'mounts',
          'user',
          'seccomp',
          'landlock',
          'limits',
          'scheduler',
          'ioPriority',
          'speculation',
          'affinity',
          'time',
          'namespaces',
          'x',
        ),
        junk,
      ),
      (given) => {
        try {
          explain(given as SandboxOptions);
        } catch (error) {
          expect(typed).toContain((error as Error).name);
        }
      },
    ),
    { numRuns: 3000 },
  );
});
