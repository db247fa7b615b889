// How options are read: which properties count, are ignored or are refused, and how options are merged.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { Sandbox, SandboxBuilder, type SandboxOptions, seccompFilter } from 'nsjs';
import { sandboxKeys } from '../../../dist/options/merge';
import { parseOptions, readSpawnOptions } from '../../../dist/options/options';
import { presets } from '../../../dist/options/presets';
import { parseSandboxOptions } from '../../../dist/options/spec';
import { sh, thrown } from '../../support';

const parse = (options: object) => parseSandboxOptions(options as SandboxOptions);

/** Runs `act` while Object.prototype has additional properties. */
async function polluted<T>(properties: Readonly<Record<string, unknown>>, act: () => T | Promise<T>): Promise<T> {
  const prototype = Object.prototype as unknown as Record<string, unknown>;
  for (const [key, value] of Object.entries(properties)) prototype[key] = value;
  try {
    return await act();
  } finally {
    for (const key of Object.keys(properties)) delete prototype[key];
  }
}

describe('a polluted Object.prototype', () => {
  const weak = {
    seccomp: 'off',
    root: 'host',
    noNewPrivileges: false,
    capabilities: 'all',
    network: 'host',
    nestedUserNamespaces: true,
    preset: 'none',
  };

  test('changes no option', async () => {
    const [clean, clean2] = [parse({}), parse({ limits: { pids: 5 } })];
    const [found, found2] = await polluted(weak, () => [parse({}), parse({ limits: { pids: 5 } })]);
    expect(JSON.stringify(found)).toBe(JSON.stringify(clean));
    expect(JSON.stringify(found2)).toBe(JSON.stringify(clean2));
  });

  test('changes no filter', async () => {
    const filters = () =>
      [{}, { deny: [{ names: 'ioctl', when: [{ index: 1, op: 'ne', value: 5 }] }] }, { only: ['read'] }].map(
        (seccomp) => seccompFilter({ seccomp } as SandboxOptions)?.hash,
      );
    const clean = filters();
    const when = [{ index: 5, op: 'eq', value: 99n, width: 32 }];
    expect(await polluted({ mask: 0n, when, width: 32, errno: 0, allow: ['@mount'] }, filters)).toEqual(clean);
  });

  test('changes neither nested options nor omitted ones', async () => {
    const more = {
      memory: 2 ** 40,
      readonly: false,
      uid: 0,
      permitted: ['CAP_SYS_ADMIN'],
      ambient: [],
      allow: ['@mount'],
      timeout: 1,
      input: 'x',
    };
    const given = () => ({
      limits: { pids: 5 },
      mounts: [{ type: 'bind', source: '/usr', target: '/w' }],
      user: { gid: 1000 },
      capabilities: { bounding: [] },
      seccomp: {},
    });
    const clean = JSON.stringify(parse(given()));
    expect(await polluted(more, () => JSON.stringify(parse(given())))).toBe(clean);
    const spec = parse(given());
    const program = parseOptions('true', [], readSpawnOptions({}));
    await polluted(more, () => {
      expect(spec.user.uid).toBeUndefined();
      expect(presets.node.mounts).toBeUndefined();
      expect(program.timeout).toBeUndefined();
      expect(program.input).toBeUndefined();
    });
  });

  test('does not weaken the filter and the namespaces of a sandbox', async () => {
    // The names of all options, and names of internal properties of nsjs.
    const names = [
      ...sandboxKeys,
      'timeout',
      'input',
      'signal',
      'stdio',
      'onSyscall',
      'hostId',
      'single',
      'prepared',
      'ownLimits',
      'group',
      'notify',
    ];
    const status = await polluted({ ...Object.fromEntries(names.map((name) => [name, 'polluted'])), ...weak }, () =>
      sh('cat /proc/self/status; ls /'),
    );
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).not.toMatch(/^root$/m);
  });

  test('is ignored in another realm as well', () => {
    const context = createContext({});
    const options = runInContext(`Object.prototype.seccomp = 'off'; ({ hostname: 'inside', limits: { pids: 7 } })`, context) as object;
    const spec = parse(options);
    expect(spec.seccomp).not.toBe('off');
    expect(spec.limits.pids).toBe(7);
    // The same applies if that realm has deleted parts of its Object.prototype.
    const bare = createContext({});
    const other = `delete Object.prototype.constructor; delete Object.prototype.hasOwnProperty;
      Object.prototype.seccomp = 'off'; Object.defineProperty(Object.prototype, 'root', { value: 'host' }); ({ hostname: 'inside' })`;
    const less = parse(runInContext(other, bare) as object);
    expect(less).toMatchObject({ hostname: 'inside', root: 'system' });
    expect(less.seccomp).not.toBe('off');
  });

  test('is never read', async () => {
    const program = join(process.cwd(), 'test/programs/inherited-reads.js');
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, join(process.cwd(), 'dist')]);
    expect({ found: JSON.parse(stdout), stderr }).toEqual({ found: [], stderr: '' });
  }, 60_000);
});

describe('properties that count as options', () => {
  test('properties inherited through Object.create(defaults) count at every level', () => {
    const defaults = { limits: Object.create({ pids: 9 }), hostname: 'base' };
    const spec = parse(Object.create(defaults));
    expect(spec.limits.pids).toBe(9);
    expect(spec.hostname).toBe('base');
  });

  test('fields and accessors of classes count', () => {
    class Base {
      get limits() {
        return { pids: 11 };
      }
    }
    class Options extends Base {
      hostname = 'own';
      get env() {
        return new (class {
          get NAME() {
            return 'value';
          }
        })();
      }
      method() {}
    }
    const spec = parse(new Options());
    expect([spec.limits.pids, spec.hostname, spec.env.NAME]).toEqual([11, 'own', 'value']);
    const { spec: run, timeout } = parseOptions(
      'true',
      [],
      readSpawnOptions(
        new (class extends Options {
          get timeout() {
            return 77;
          }
        })(),
      ),
    );
    expect([run.limits.pids, timeout]).toEqual([11, 77]);
  });

  test('properties of objects without a prototype count', () => {
    expect(parse(Object.assign(Object.create(null), { limits: Object.assign(Object.create(null), { pids: 3 }) })).limits.pids).toBe(3);
  });

  test('each property is read once', () => {
    const counts: Record<string, number> = {};
    const counting = (values: Readonly<Record<string, unknown>>, name: string) =>
      Object.defineProperties(
        {},
        Object.fromEntries(
          Object.entries(values).map(([key, value]) => [
            key,
            {
              enumerable: true,
              get: () => {
                counts[`${name}.${key}`] = (counts[`${name}.${key}`] ?? 0) + 1;
                return value;
              },
            },
          ]),
        ),
      );
    const mount = counting({ type: 'bind', source: '/usr', target: '/w', readonly: true }, 'mount');
    const options = counting(
      { mounts: [mount], limits: counting({ pids: 3 }, 'limits'), env: counting({ A: 'b' }, 'env'), timeout: 5 },
      'options',
    );
    parseOptions('true', [], readSpawnOptions(options));
    expect(Object.values(counts).every((count) => count === 1)).toBe(true);
    expect(Object.keys(counts)).toHaveLength(10);
  });
});

describe('objects that cannot be read reliably are refused', () => {
  test.each([
    ['a proxy', () => new Proxy({}, {}), 'a proxy'],
    ['a proxy as a prototype', () => Object.create(new Proxy({}, {})), 'proxy'],
    ['a proxy within', () => ({ limits: new Proxy({ pids: 1 }, {}) }), 'limits: .*a proxy'],
    ['a proxy of a list', () => ({ mounts: new Proxy([], {}) }), 'mounts: .*a proxy'],
    ['a Map', () => ({ env: new Map([['A', 'b']]) }), 'env: .*Object.fromEntries'],
    ['a Set', () => ({ limits: new Set(['memory']) }), 'limits: .*a Set'],
    ['a Map of another realm', () => ({ limits: runInContext('new Map([["pids", 1]])', createContext({})) }), 'limits: .*a Map'],
    ['a Date', () => ({ user: new Date() }), 'user: .*a Date'],
    ['a Promise', () => ({ user: Promise.resolve({}) }), 'await'],
    ['bytes', () => ({ rlimits: new Uint8Array(2) }), 'rlimits: .*bytes'],
    ['a list', () => ({ limits: [] }), 'limits: '],
  ])('%s', (_, make, message) => {
    const error = thrown(() => parse(make() as object));
    expect(error.name).toBe('OptionError');
    expect(error.message).toMatch(new RegExp(message));
  });
});

describe('merging of options', () => {
  const base = () => new SandboxBuilder({ limits: { memory: '64M', pids: 3 }, env: { A: '1' }, user: { uid: 5 }, rlimits: { nofile: 64 } });

  test.each([
    ['limits: undefined', { limits: undefined }],
    ['an undefined limit', { limits: { memory: undefined } }],
    ['an undefined id', { user: { uid: undefined, gid: undefined } }],
    ['undefined rlimits', { rlimits: { nofile: undefined } }],
    ['undefined mounts', { mounts: undefined }],
    ['nothing', {}],
  ])('%s changes nothing', (_, change) => {
    expect(base().with(change as SandboxOptions).options).toEqual(base().options);
  });

  test('undefined removes an environment variable, even a default one', () => {
    const spec = parseSandboxOptions(base().with({ env: { A: undefined, LANG: undefined } } as SandboxOptions).options);
    expect(spec.env.A).toBeUndefined();
    expect(spec.env.LANG).toBeUndefined();
  });

  test('inherited limits are merged as well', () => {
    expect(base().with({ limits: Object.create({ pids: 8 }) }).options.limits).toEqual({ memory: '64M', pids: 8 });
  });

  test('new mounts are appended to the existing ones', () => {
    const [one, two] = ['/a', '/b'].map((target) => ({ type: 'dir', target }) as const);
    expect(new SandboxBuilder({ mounts: [one as never] }).mount(two as never).options.mounts).toEqual([one, two]);
  });

  test('an undefined limit keeps the limit of the preset', () => {
    expect(parse({ preset: 'node', limits: { memory: undefined, pids: undefined } }).limits).toEqual(parse({ preset: 'node' }).limits);
  });
});

describe('capabilities of a preset apply to root only', () => {
  const sets = (options: SandboxOptions) => parseSandboxOptions(options).capabilities;

  test('another user has only the bounding set', async () => {
    const { bounding, ...others } = sets({ preset: 'container', user: { uid: 1000, gid: 1000 } });
    expect(bounding).toContain('CAP_CHOWN');
    expect(Object.values(others).flat()).toEqual([]);
    const status = await sh('cat /proc/self/status', { preset: 'container', user: { uid: 1000, gid: 1000 } });
    expect(status).toMatch(/CapInh:\t0+\nCapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t[0-9a-f]*[1-9a-f][0-9a-f]*\nCapAmb:\t0+/);
  });

  test('root has them, and any user can have capabilities that are requested explicitly', () => {
    expect(sets({ preset: 'container' }).effective).toContain('CAP_CHOWN');
    expect(sets({ preset: 'container', user: { uid: 1000 }, capabilities: ['CAP_KILL'] }).ambient).toEqual(['CAP_KILL']);
    expect(sets({ preset: 'none', user: { uid: 1000 } }).effective).toEqual([]);
  });

  test('SandboxBuilder follows the same rule', () => {
    const builder = new SandboxBuilder({ preset: 'container' }).with({ user: { uid: 1000 } });
    expect(sets(builder.options).permitted).toEqual([]);
  });
});

test('a program of a sandbox with an egress policy can have its own environment, cwd and umask', async () => {
  const options = { network: { egress: { allow: ['example.test:80'], proxy: true } } } as const;
  await using sandbox = await Sandbox.open(options);
  const { stdout } = await sandbox.spawn('/bin/sh', ['-c', 'echo $A $HTTP_PROXY; pwd; umask'], {
    env: { A: 'b' },
    cwd: '/tmp',
    umask: 0o77,
  });
  expect(stdout).toBe('b http://127.0.0.1:3128\n/tmp\n0077');
});
