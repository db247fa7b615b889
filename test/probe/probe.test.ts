import { probe } from 'nsjs';

test('every feature is available or has a reason and a fix', async () => {
  const { ok, kernel, features } = await probe();
  expect(ok).toBe(true);
  expect(kernel).toMatch(/^\d+\.\d+/);
  for (const [name, { available, reason, fix }] of Object.entries(features)) {
    expect([name, available || (typeof reason === 'string' && typeof fix === 'string')]).toEqual([name, true]);
  }
});
