// The example on each page of docs/namespaces runs unchanged and prints the output that the page shows.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { namespaceTypes } from 'nsjs';

const directory = join(__dirname, '../../../docs/namespaces');
const block = (text: string, kind: string) => new RegExp(`\`\`\`${kind}\\n(.*?)\`\`\``, 's').exec(text)?.[1] ?? '';

test('the documentation has a page for each type', () => {
  expect(readdirSync(directory).sort()).toEqual(['README.md', ...namespaceTypes.map((type) => `${type}.md`)].sort());
});

test.each(namespaceTypes)('the example for %s prints the documented output', (type) => {
  const text = readFileSync(join(directory, `${type}.md`), 'utf8');
  for (const word of ['**Share**', '**Nest**', '**Pin**']) expect(text).toContain(word);
  expect(execFileSync(process.execPath, ['-e', block(text, 'js')], { cwd: __dirname, encoding: 'utf8' })).toBe(block(text, 'text'));
});
