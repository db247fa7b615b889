/** One instruction of classic BPF, `struct sock_filter`. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** The opcodes that seccomp filters need, <linux/bpf_common.h>. */
export const opcode = {
  loadWord: 0x20, // BPF_LD | BPF_W | BPF_ABS
  and: 0x54, // BPF_ALU | BPF_AND | BPF_K
  jump: 0x05, // BPF_JMP | BPF_JA
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterEqual: 0x35,
  return: 0x06,
} as const;

/** Offsets in `struct seccomp_data`, seccomp(2). */
export const data = {
  nr: 0,
  arch: 4,
  size: 64,
  argument: (index: number, half: 'low' | 'high') => 16 + index * 8 + (half === 'high' ? 4 : 0),
} as const;

/** Maximum length of a filter (BPF_MAXINSNS). */
export const maxInstructions = 4096;
/** Maximum offset of a conditional jump. */
export const maxOffset = 255;

/** Encodes instructions as `struct sock_filter[]`. */
export function encode(program: readonly Instruction[]): Uint8Array {
  if (program.length > maxInstructions) {
    throw new RangeError(`seccomp: the filter has ${program.length} instructions, the kernel accepts at most ${maxInstructions}`);
  }
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  }
  return bytes;
}

export function decode(bytes: Uint8Array): readonly Instruction[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, index) => ({
    code: view.readUInt16LE(index * 8),
    jt: view.readUInt8(index * 8 + 2),
    jf: view.readUInt8(index * 8 + 3),
    k: view.readUInt32LE(index * 8 + 4),
  }));
}
