import { parseStat, startedAt } from '../../../dist/proc/stat';

const fields = Array.from({ length: 49 }, (_, index) => `${index + 4}`).join(' ');

test('fields are counted from the last closing parenthesis of the name', () => {
  for (const name of ['sh', 'a b', 'a) R 1 (b', '()', ''])
    expect(parseStat(`7 (${name}) D ${fields}\n`)).toEqual({
      name,
      state: 'D',
      userTicks: 14,
      systemTicks: 15,
      childUserTicks: 16,
      childSystemTicks: 17,
      startTicks: 22,
    });
});

test.each(['', '7', '7 (sh', '7 (sh)', '7 (sh) R 1 2', ')('])('%j is not a stat file', (text) => {
  expect(parseStat(text)).toBeUndefined();
});

test('the start of this process is after the boot, and does not change', () => {
  expect(startedAt('self')).toBeGreaterThan(0);
  expect(startedAt(process.pid)).toBe(startedAt('self'));
});
