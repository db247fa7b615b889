// Tests the checker of the structure: each kind of forbidden import is added to a tree that has none.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '../support/host';

const checker = join(process.cwd(), 'scripts/check/layers.mjs');
const sound = {
  'lib/index.ts': "export { one } from './sys/one';\n",
  'lib/base/zero.ts': 'export const zero = 0;\nexport type Zero = 0;\n',
  'lib/sys/one.ts': "import { zero } from '../base/zero';\n\nexport const one = zero + 1;\n",
  'src/sys/a.h': '#pragma once\n',
  'src/plan/b.h': '#include "../sys/a.h"\n',
};

function check(changes: Readonly<Record<string, string>> = {}): { readonly status: number | null; readonly problems: string } {
  const directory = temporaryDirectory();
  try {
    for (const [name, text] of Object.entries({ ...sound, ...changes })) {
      mkdirSync(dirname(join(directory.path, name)), { recursive: true });
      writeFileSync(join(directory.path, name), text);
    }
    const { status, stderr } = spawnSync(process.execPath, [checker, directory.path], { encoding: 'utf8' });
    return { status, problems: stderr };
  } finally {
    directory.remove();
  }
}

const lines = (count: number): string => '  void 0;\n'.repeat(count);

test('a sound tree passes', () => {
  expect(check()).toEqual({ status: 0, problems: '' });
});

test.each([
  ['import upward', { 'lib/base/zero.ts': "import { one } from '../cli/one';\nexport const zero = one;\n" }, /zero\.ts imports .*above/],
  ['import of a type upward', { 'lib/base/zero.ts': "import type { One } from '../cli/one';\nexport type Zero = One;\n" }, /above/],
  ['export from above', { 'lib/base/zero.ts': "export * from '../cli/one';\n" }, /above/],
  ['require of what is above', { 'lib/base/zero.ts': "export const zero = () => require('../cli/one');\n" }, /above/],
  ['import() of what is above', { 'lib/base/zero.ts': "export const zero = () => import('../cli/one');\n" }, /above/],
  ['type import() of what is above', { 'lib/base/zero.ts': "export type Zero = import('../cli/one').One;\n" }, /above/],
  ['import of index', { 'lib/base/two.ts': "export { one as zero } from '../index';\n" }, /above/],
  [
    'circle in one directory',
    { 'lib/base/zero.ts': "import './two';\n", 'lib/base/two.ts': "import type {} from './zero';\n" },
    /circular imports: .*two.*zero/,
  ],
  ['file of its own in lib', { 'lib/loose.ts': 'export {};\n' }, /loose/],
  ['directory that is not listed', { 'lib/nowhere/a.ts': 'export {};\n' }, /does not list/],
  ['import of nothing', { 'lib/sys/one.ts': "import '../base/none';\n" }, /does not exist/],
  ['long file', { 'lib/base/zero.ts': '//\n'.repeat(401) }, /401 lines/],
  ['long function', { 'lib/base/zero.ts': `export function zero() {\n${lines(49)}}\n` }, /51 lines/],
  ['sixth parameter', { 'lib/base/zero.ts': 'export const zero = (a = 1, b = 2, c = 3, d = 4, e = 5, f = 6) => a;\n' }, /6 parameters/],
  ['include upward', { 'src/sys/a.h': '#include "../plan/b.h"\n' }, /includes .*below/],
] as const)('a forbidden %s fails', (_, changes, problem) => {
  const above = { 'lib/cli/one.ts': 'export const one = 1;\nexport type One = 1;\n' };
  const { status, problems } = check({ ...above, ...changes });
  expect(problems).toMatch(problem);
  expect([status, problems.trim().split('\n')]).toEqual([1, [expect.any(String)]]);
});
