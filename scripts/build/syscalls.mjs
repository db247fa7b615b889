// syscalls.mjs UAPI VERSION: generates lib/seccomp/tables/*.ts from the exported headers of a kernel.
// UAPI is the directory `usr/lib/linux/uapi` of Debian's package linux-libc-dev (7.3 for the tables in the repository).
import { readFileSync, writeFileSync } from 'node:fs';

const [uapi, version] = process.argv.slice(2);
if (!version) throw new Error('usage: syscalls.mjs UAPI VERSION');

for (const [arch, header] of [
  ['x64', 'x86/asm/unistd_64.h'],
  ['arm64', 'arm64/asm/unistd_64.h'],
]) {
  const text = readFileSync(`${uapi}/${header}`, 'utf8');
  const calls = [...text.matchAll(/^#define __NR_(\w+)\s+(\d+)$/gm)].map(([, name, number]) => [name, Number(number)]);
  calls.sort((a, b) => a[1] - b[1]);
  const lines = calls.map(([name, number]) => `  ${name}: ${number},`).join('\n');
  writeFileSync(
    `lib/seccomp/tables/${arch}.ts`,
    `// Made by scripts/build/syscalls.mjs from the headers of Linux ${version}.\n\n/** System calls of ${arch} by name. */\nexport const ${arch}: Readonly<Record<string, number>> = {\n${lines}\n};\n`,
  );
}
