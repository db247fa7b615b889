// Instructions of classic BPF as the kernel reads them, and the graph from which they are generated.
import { data, decode, encode, type Instruction, maxInstructions, maxOffset, opcode } from '../../../dist/seccomp/bpf';
import { assemble, Graph, type Node } from '../../../dist/seccomp/graph';
import { interpret } from '../../support/interpret';

const give = (k: number): Instruction => ({ code: opcode.return, jt: 0, jf: 0, k });

describe('encoding', () => {
  test('an instruction has eight bytes, with the lowest byte of each number first', () => {
    expect([...encode([{ code: 0x15, jt: 1, jf: 255, k: 0xc000003e }])]).toEqual([0x15, 0, 1, 255, 0x3e, 0, 0, 0xc0]);
  });

  test('decoding returns the same instructions, at any offset in a buffer', () => {
    const program = [{ code: opcode.jumpGreater, jt: 3, jf: 0, k: 7 }, give(0x7fff0000), give(0x80000000)];
    const bytes = encode(program);
    const placed = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3);
    expect([decode(bytes), decode(placed)]).toEqual([program, program]);
  });

  test('a filter may be as long as the kernel allows, but no longer', () => {
    const program = Array.from({ length: maxInstructions }, () => give(0));
    expect(encode(program)).toHaveLength(maxInstructions * 8);
    expect(() => encode([...program, give(0)])).toThrow(
      new RangeError('seccomp: the filter has 4097 instructions, the kernel accepts at most 4096'),
    );
  });
});

describe('the graph of a filter', () => {
  test('equal nodes are created once', () => {
    const graph = new Graph();
    const [yes, no] = [graph.return(1), graph.return(2)];
    expect(graph.return(1)).toBe(yes);
    expect(graph.branch(opcode.jumpEqual, 5, yes, no)).toBe(graph.branch(opcode.jumpEqual, 5, yes, no));
    expect(graph.branch(opcode.jumpEqual, 5, no, yes)).not.toBe(graph.branch(opcode.jumpEqual, 5, yes, no));
  });

  test('a comparison whose result does not matter is left out, and so is a mask of all bits', () => {
    const graph = new Graph();
    const node = graph.return(1);
    expect(graph.branch(opcode.jumpEqual, 5, node, node)).toBe(node);
    expect(graph.and(0xffffffff, node)).toBe(node);
    expect(assemble(graph.and(0xff, node))).toEqual([{ code: opcode.and, jt: 0, jf: 0, k: 0xff }, give(1)]);
  });

  // A chain of comparisons with a common return value, which the jumps of the first ones cannot reach.
  const count = 2 * maxOffset;
  const shared = (link: (graph: Graph, value: number, rest: Node) => Node): ((nr: number) => number) => {
    const graph = new Graph();
    let chain = graph.return(0);
    for (let value = count; value > 0; value--) chain = link(graph, value, chain);
    const program = assemble(graph.load(data.nr, chain));
    expect(program.some(({ code }) => code === opcode.jump)).toBe(true);
    const filter = encode(program);
    return (nr) => interpret(filter, { nr, arch: 0, args: [] });
  };

  test('a comparison that is true may lead to a distant return', () => {
    const answer = shared((graph, value, rest) => graph.branch(opcode.jumpEqual, value, graph.return(1), rest));
    for (const nr of [1, 2, maxOffset, maxOffset + 1, count]) expect(answer(nr)).toBe(1);
    for (const nr of [0, count + 1]) expect(answer(nr)).toBe(0);
  });

  test('a comparison that is false may lead to a distant return', () => {
    const answer = shared((graph, value, rest) => graph.branch(opcode.jumpGreaterEqual, value, rest, graph.return(1)));
    for (const nr of [0, 1, maxOffset, maxOffset + 1, count - 1]) expect(answer(nr)).toBe(1);
    for (const nr of [count, count + 1]) expect(answer(nr)).toBe(0);
  });
});
