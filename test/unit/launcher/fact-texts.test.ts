// Contents of /proc files as a launcher sends them: in parts, and those of a program by index.
import { FactTexts } from '../../../dist/launcher/fact-texts';

test('a file that was not sent has no text', () => {
  const texts = new FactTexts();
  expect(texts.isEmpty).toBe(true);
  expect(texts.get('status')).toBeUndefined();
});

test('the parts of a file are joined in order', () => {
  const texts = new FactTexts();
  for (const part of ['a', '', 'b\n', 'c']) texts.add('mountinfo', part);
  texts.add('other', 'x');
  expect([texts.get('mountinfo'), texts.get('other'), texts.isEmpty]).toEqual(['ab\nc', 'x', false]);
});

test('the files of a program are sent in a fixed order', () => {
  const texts = new FactTexts();
  for (const step of [0, 1, 2, 0]) texts.addProgram(step, `part of ${step};`);
  expect(['status', 'uid_map', 'gid_map'].map((name) => texts.get(name))).toEqual(['part of 0;part of 0;', 'part of 1;', 'part of 2;']);
});

test('a file of a program with an unknown index is left out', () => {
  const texts = new FactTexts();
  texts.addProgram(3, 'x');
  expect(texts.isEmpty).toBe(true);
});
