import { data, decode, type Instruction, opcode } from './bpf';
import type { actionOrder } from './policy';
import { type Arch, archTables, syscallName } from './tables';

const comparisons: Readonly<Record<number, string>> = {
  [opcode.jumpEqual]: '==',
  [opcode.jumpGreater]: '>',
  [opcode.jumpGreaterEqual]: '>=',
};

/** Returns a filter as text, one instruction per line, with the names of the compared fields and system calls. */
export function disassemble(filter: Uint8Array, arch: Arch): string {
  const program = decode(filter);
  const held = accumulators(program);
  const lines = program.map(({ code, jt, jf, k }, at) => {
    const to = (offset: number) => `${at + 1 + offset}`;
    const loaded = held[at] ?? 'A';
    const comparison = comparisons[code];
    if (comparison) return `if ${loaded} ${comparison} ${operand(loaded, k, arch)} goto ${to(jt)} else ${to(jf)}`;
    switch (code) {
      case opcode.loadWord:
        return `load ${wordName(k)}`;
      case opcode.and:
        return `and ${hex(k)}`;
      case opcode.jump:
        return `goto ${to(k)}`;
      case opcode.return:
        return `return ${answerName(k)}`;
      default:
        return `opcode ${hex(code)} ${jt} ${jf} ${hex(k)}`;
    }
  });
  return lines.map((line, at) => `${`${at}`.padStart(4)}  ${line}`).join('\n');
}

/**
 * Returns the name of the word that the accumulator holds before each instruction. Undefined if the instruction cannot
 * be reached, or is reached with different words. Jumps only go forward, so one pass is enough.
 */
function accumulators(program: readonly Instruction[]): readonly (string | undefined)[] {
  const found: { name: string | undefined }[] = [];
  const reach = (at: number, name: string | undefined) => {
    const known = found[at];
    if (!known) found[at] = { name };
    else if (known.name !== name) known.name = undefined;
  };
  reach(0, undefined);
  for (const [at, { code, jt, jf, k }] of program.entries()) {
    const name = code === opcode.loadWord ? wordName(k) : found[at]?.name;
    if (code === opcode.return) continue;
    if (code === opcode.jump) reach(at + 1 + k, name);
    else if (comparisons[code] === undefined) reach(at + 1, name);
    else for (const offset of [jt, jf]) reach(at + 1 + offset, name);
  }
  return program.map((_, at) => found[at]?.name);
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function wordName(offset: number): string {
  if (offset === data.nr) return 'nr';
  if (offset === data.arch) return 'arch';
  const index = (offset - data.argument(0, 'low')) >> 3;
  return `arg${index}.${offset % 8 === 0 ? 'low' : 'high'}`;
}

function operand(loaded: string, value: number, arch: Arch): string {
  if (loaded === 'nr' && value < (archTables[arch].foreignFrom ?? Number.POSITIVE_INFINITY))
    return `${value} (${syscallName(value, arch)})`;
  return hex(value);
}

/** Returns the name of a SECCOMP_RET_* value. */
function answerName(value: number): string {
  const kinds: Readonly<Record<number, (typeof actionOrder)[number]>> = {
    32768: 'kill',
    0: 'killThread',
    3: 'trap',
    5: 'errno',
    32704: 'notify',
    32752: 'trace',
    32764: 'log',
    32767: 'allow',
  };
  const kind = kinds[value >>> 16] ?? hex(value);
  return kind === 'errno' ? `errno ${value & 0xffff}` : kind;
}
