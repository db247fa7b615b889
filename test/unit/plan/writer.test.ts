import { explain, presets } from 'nsjs';
import { OptionRangeError } from '../../../dist/base/errors';
import { noSlot } from '../../../dist/plan/operation';
import { PlanWriter } from '../../../dist/plan/writer';
import { thrown } from '../../support';

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

test('what is written as optional carries the number of operations to leave out', () => {
  const plan = new PlanWriter();
  plan.optional('inside', () => {
    plan.op('inside', 'a', 'Unshare', 1);
    plan.op('inside', 'a', 'Unshare', 2);
  });
  expect(plan.section('inside').map(({ optional }) => optional)).toEqual([2, 0]);
});

test('slots and passed descriptors are bounded', () => {
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

test('the order of a safe set-up: seccomp is the last before exec, rights go before it', () => {
  const program = explain()
    .steps.filter(({ section }) => section === 'program')
    .map(({ operation }) => operation);
  expect(program.slice(-3)).toEqual(['LandlockRestrict', 'Seccomp', 'Exec']);
  const order = ['InnerUserNs', 'BoundCaps', 'Securebits', 'SetCaps', 'Dup', 'CloseFrom', 'Chdir', 'NoNewPrivs', 'LandlockRuleset'];
  expect(program.filter((name, index) => order.includes(name) && program.indexOf(name) === index)).toEqual(order);
});

test('the root is sealed, and then the only one, after all mounts', () => {
  const inside = explain({ mounts: [{ type: 'tmpfs', target: '/x' }] })
    .steps.filter(({ section }) => section === 'inside')
    .map(({ operation }) => operation);
  expect(inside.lastIndexOf('MoveMount')).toBeLessThan(inside.lastIndexOf('SetAttr'));
  expect(inside.lastIndexOf('SetAttr')).toBeLessThan(inside.findIndex((name) => name === 'PivotRoot' || name === 'EnterRoot'));
});

test.each(Object.keys(presets))('preset %s can be explained without any right', (preset) => {
  const text = explain({ preset: preset as 'untrusted' }).toString();
  expect(text).toMatch(/^host {4}/m);
  expect(text).toMatch(/program Exec/);
});

test('presets are frozen all the way down', () => {
  const limits = presets.untrusted.limits as { pids: number };
  expect(() => {
    limits.pids = 1;
  }).toThrow(TypeError);
});
