import { data, decode, opcode } from '../../dist/seccomp/bpf';

/** One system call as a filter receives it, `struct seccomp_data`. */
export interface Call {
  readonly nr: number;
  readonly arch: number;
  readonly args: readonly bigint[];
}

// Kept, because decoding takes most of the time and a test runs one filter on thousands of calls.
let decoded: { readonly filter: Uint8Array; readonly program: ReturnType<typeof decode> } | undefined;

/** Runs a filter on one call and returns its SECCOMP_RET_* value. Throws if the kernel would refuse the filter. */
export function interpret(filter: Uint8Array, call: Call): number {
  if (decoded?.filter !== filter) decoded = { filter, program: decode(filter) };
  const { program } = decoded;
  const memory = encodeCall(call);
  let accumulator = 0;
  for (let at = 0; at < program.length; at++) {
    const instruction = program[at];
    if (!instruction) break;
    const { code, jt, jf, k } = instruction;
    switch (code) {
      case opcode.loadWord:
        accumulator = memory.readUInt32LE(k);
        break;
      case opcode.and:
        accumulator = (accumulator & k) >>> 0;
        break;
      case opcode.jump:
        at += k;
        break;
      case opcode.jumpEqual:
        at += accumulator === k ? jt : jf;
        break;
      case opcode.jumpGreater:
        at += accumulator > k ? jt : jf;
        break;
      case opcode.jumpGreaterEqual:
        at += accumulator >= k ? jt : jf;
        break;
      case opcode.return:
        return k;
      default:
        throw new Error(`instruction ${at}: opcode ${code} is not one that nsjs emits`);
    }
  }
  throw new Error('the filter ends without a return');
}

function encodeCall({ nr, arch, args }: Call): Buffer {
  const memory = Buffer.alloc(data.size);
  memory.writeUInt32LE(nr >>> 0, data.nr);
  memory.writeUInt32LE(arch, data.arch);
  for (let index = 0; index < 6; index++) memory.writeBigUInt64LE(BigInt.asUintN(64, args[index] ?? 0n), data.argument(index, 'low'));
  return memory;
}
