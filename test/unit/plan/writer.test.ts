import { explain, presets } from 'nsjs';
import { OptionRangeError } from '../../../dist/base/errors';
import { noSlot, Slot } from '../../../dist/plan/operation';
import { PlanWriter } from '../../../dist/plan/writer';
import { thrown } from '../../support/host';

test('a plan has the layout of src/plan/wire.h', () => {
  const plan = new PlanWriter();
  plan.op('inside', 'hostname', 'SetHostname', 'box');
  plan.op('host', 'x', 'Hold', noSlot);
  const bytes = Buffer.from(plan.bytes());
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt32LE(index * 4));
  expect(words).toEqual([0x324e534e, bytes.length, 1, 1, 0, 0, 0, 0]);
  expect(bytes.readUInt32LE(36)).toBe(64 + 2 * 32);
  const text = bytes.readUInt32LE(64 + 32 + 4);
  expect(bytes.readUInt32LE(text)).toBe(3);
  expect(bytes.toString('latin1', text + 4, text + 8)).toBe('box\0');
});

test('equal texts are stored once', () => {
  const plan = new PlanWriter();
  const size = () => plan.bytes().length;
  plan.op('inside', 'a', 'SetHostname', 'a long name that is written twice');
  const one = size();
  plan.op('inside', 'a', 'SetHostname', 'a long name that is written twice');
  expect(size()).toBe(one + 32);
});

test('an optional block contains the number of operations to skip', () => {
  const plan = new PlanWriter();
  plan.optional('inside', () => {
    plan.op('inside', 'a', 'Unshare', 1);
    plan.op('inside', 'a', 'Unshare', 2);
  });
  expect(plan.section('inside').map(({ optional }) => optional)).toEqual([2, 0]);
});

test('the numbers of slots and of passed descriptors are limited', () => {
  const plan = new PlanWriter();
  expect(
    thrown(() => {
      for (;;) plan.slot('mounts[0]');
    }),
  ).toBeInstanceOf(OptionRangeError);
  expect(
    thrown(() => {
      for (;;) plan.pass('stdio[0]', 1);
    }),
  ).toBeInstanceOf(OptionRangeError);
});

test('rights are dropped before seccomp, which is applied last before exec', () => {
  const program = explain()
    .steps.filter(({ section }) => section === 'program')
    .map(({ operation }) => operation);
  expect(program.slice(-3)).toEqual(['LandlockRestrict', 'Seccomp', 'Exec']);
  const order = ['InnerUserNs', 'BoundCaps', 'Securebits', 'SetCaps', 'Dup', 'CloseFrom', 'Chdir', 'NoNewPrivs', 'LandlockRuleset'];
  expect(program.filter((name, index) => order.includes(name) && program.indexOf(name) === index)).toEqual(order);
});

test('the root is sealed after all mounts, and entered after that', () => {
  const inside = explain({ mounts: [{ type: 'tmpfs', target: '/x' }] })
    .steps.filter(({ section }) => section === 'inside')
    .map(({ operation }) => operation);
  expect(inside.lastIndexOf('MoveMount')).toBeLessThan(inside.lastIndexOf('SetAttr'));
  expect(inside.lastIndexOf('SetAttr')).toBeLessThan(inside.findIndex((name) => name === 'PivotRoot' || name === 'EnterRoot'));
});

test.each(Object.keys(presets))('preset %s can be explained without privileges', (preset) => {
  const text = explain({ preset: preset as 'untrusted' }).toString();
  expect(text).toMatch(/^host {4}/m);
  expect(text).toMatch(/program Exec/);
});

test('presets are deeply frozen', () => {
  const limits = presets.untrusted.limits as { pids: number };
  expect(() => {
    limits.pids = 1;
  }).toThrow(TypeError);
});

describe('slots of a plan', () => {
  test('each slot is given once, and none of them is the root', () => {
    const plan = new PlanWriter();
    const slots = [plan.root, plan.slot('a'), plan.slot('a')].map(({ index }) => index);
    expect(slots).toEqual([60, 61, 62]);
  });

  test('a further program does not reuse the slots of its running sandbox', () => {
    const running = new PlanWriter();
    const last = running.slot('a');
    expect(new PlanWriter(running).slot('a').index).toBe(last.index + 1);
  });

  test('a shared slot is created by its first user, and is known to a further program', () => {
    const plan = new PlanWriter();
    expect(plan.known('proc')).toBeUndefined();
    const made = plan.shared('proc', () => plan.slot('a'));
    expect(plan.shared('proc', () => new Slot(0))).toBe(made);
    expect([plan.known('proc'), new PlanWriter(plan).known('proc')]).toEqual([made, made]);
    expect(plan.known('sys')).toBeUndefined();
  });

  test('passed descriptors have the first slots, and a varying one is recorded by name', () => {
    const plan = new PlanWriter();
    expect([plan.pass('a', 9).index, plan.passVarying('lock', 'a', 17).index, plan.pass('a', 5).index]).toEqual([0, 1, 2]);
    expect(plan.passed).toEqual([9, 17, 5]);
    expect({ ...plan.places }).toEqual({ lock: 1 });
  });
});

describe('sections of a plan', () => {
  test('maps directly follow the operations of the host', () => {
    const plan = new PlanWriter();
    plan.op('maps', 'user', 'MapBy', 'a', 'b');
    plan.op('host', 'user', 'ClockHold');
    plan.op('after', 'x', 'RemoveDir', '/c');
    expect(plan.section('host').map(({ name }) => name)).toEqual(['ClockHold', 'MapBy']);
    expect(plan.section('after')).toEqual([{ name: 'RemoveDir', origin: 'x', args: ['/c'], optional: 0 }]);
  });

  test('a mark is set on all operations that are added within it, and an inner mark replaces the outer one', () => {
    const plan = new PlanWriter();
    const add = () => plan.op('inside', 'root', 'EnterRoot');
    add();
    const result = plan.marked('root', () => {
      add();
      plan.marked('seal', add);
      add();
      return 5;
    });
    add();
    expect(plan.section('inside').map(({ mark }) => mark)).toEqual([undefined, 'root', 'seal', 'root', undefined]);
    expect(result).toBe(5);
  });

  test('an optional block without operations writes nothing', () => {
    const plan = new PlanWriter();
    plan.optional('inside', () => undefined);
    expect(plan.section('inside')).toEqual([]);
  });

  test('lastWord returns the name of the file that an operation reads', () => {
    const plan = new PlanWriter();
    plan.op('after', 'limits', 'ReadFile', '/sys/fs/cgroup/nsjs-1/memory.peak');
    plan.op('after', 'limits', 'Session');
    expect([0, 1, 2].map((step) => plan.lastWord(step))).toEqual(['memory.peak', '', '']);
  });
});
