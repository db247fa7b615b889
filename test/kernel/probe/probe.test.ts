import { probe } from 'nsjs';
import { keepersGone, openDescriptors } from '../../support/processes';

test('every feature is available or has a reason and a fix', async () => {
  const { ok, kernel, features } = await probe();
  expect(ok).toBe(true);
  expect(kernel).toMatch(/^\d+\.\d+/);
  for (const [name, { available, reason, fix }] of Object.entries(features)) {
    expect([name, available || (typeof reason === 'string' && typeof fix === 'string')]).toEqual([name, true]);
  }
});

test('each system call is reported with the kernel version that introduced it', async () => {
  const before = openDescriptors();
  const { calls, kernel } = await probe();
  await keepersGone();
  expect(openDescriptors()).toBeLessThanOrEqual(before + 1);
  const number = (version: string) =>
    version
      .split('.')
      .slice(0, 2)
      .map(Number)
      .reduce((sum, part) => sum * 1000 + part, 0);
  for (const [name, { available, since }] of Object.entries(calls)) {
    expect([name, since]).toEqual([name, expect.stringMatching(/^\d+\.\d+/)]);
    if (number(since) > number(kernel)) expect([name, available]).toEqual([name, false]);
  }
  expect(calls.clone3?.available).toBe(true);
});
