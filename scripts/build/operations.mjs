// Generates lib/plan/ops.ts from src/plan/ops.def. `--check` only compares.
import { readFileSync, writeFileSync } from 'node:fs';

const source = readFileSync('src/plan/ops.def', 'utf8');
const ops = [...source.matchAll(/^OP\((\w+), "(\w*)"\)/gm)].map(([, name, kinds]) => ({ name, kinds }));
const output = `// Made by scripts/build/operations.mjs from src/plan/ops.def.

/** Every operation of the launcher: its code in a plan and the kinds of its arguments (T text, S slot, O slot that receives, N number). */
export const ops = {
${ops.map(({ name, kinds }, code) => `  ${name}: { code: ${code}, kinds: '${kinds}' },`).join('\n')}
} as const;

export type OpName = keyof typeof ops;
`;

const target = 'lib/plan/ops.ts';
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== output) {
    console.error(`${target} is not what scripts/build/operations.mjs makes of src/plan/ops.def: run it and commit the result`);
    process.exit(1);
  }
} else {
  writeFileSync(target, output);
}
