// embed.mjs LAUNCHER OUTPUT: writes the bytes of the launcher as assembly, for the addon to link.
import { readFileSync, writeFileSync } from 'node:fs';

const [input, output] = process.argv.slice(2);
const lines = readFileSync(input)
  .toString('hex')
  .match(/(..){1,32}/g);
writeFileSync(
  output,
  `.section .rodata
.balign 16
.globl nsjs_launcher_image, nsjs_launcher_image_end
nsjs_launcher_image:
${lines.map((line) => `.byte ${line.replace(/../g, '0x$&,').slice(0, -1)}`).join('\n')}
nsjs_launcher_image_end:
.section .note.GNU-stack,"",%progbits
`,
);
