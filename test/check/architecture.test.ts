// docs/architecture.md lists the files that a value passes. Each listed file must exist, and no list may contain a file
// twice.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = process.cwd();
const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
const filesOf = (line: string): readonly string[] =>
  [...line.matchAll(/`([\w./-]+\.(?:ts|cc))`/g)].map(([, path = '']) => (path.startsWith('src/') ? path : `lib/${path}`));

test('every file that is named exists', () => {
  expect(filesOf(text).length).toBeGreaterThan(80);
  expect(filesOf(text).filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test.each(['hostname', 'limits.memory', 'mounts[0]', 'network.egress.allow', 'timeout'])(
  '%s enters no file twice on its way out',
  (value) => {
    const [, walk = ''] = text.split(`### \`${value}\`\n`);
    const [, out = ''] = /^- Out: (.*)$/m.exec(walk) ?? [];
    const files = filesOf(out);
    expect(files.length).toBeGreaterThan(4);
    expect(files.filter((path, index) => files.indexOf(path) < index)).toEqual([]);
  },
);
