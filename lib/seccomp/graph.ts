import { bare } from '../base/parse';
import { type Instruction, maxOffset, opcode } from './bpf';

/** An instruction of a filter with references to its successors. */
export type Node =
  | { readonly id: number; readonly code: typeof opcode.return; readonly k: number }
  | { readonly id: number; readonly code: number; readonly k: number; readonly next: Node }
  | { readonly id: number; readonly code: number; readonly k: number; readonly yes: Node; readonly no: Node };

/**
 * Builds a filter backwards from its return instructions. Equal nodes exist only once, so that rules share the code
 * that follows them.
 */
export class Graph {
  private readonly nodes = new Map<string, Node>();

  return(k: number): Node {
    return this.node(`r${k}`, (id) => ({ id, code: opcode.return, k }));
  }

  load(offset: number, next: Node): Node {
    return this.node(`l${offset}:${next.id}`, (id) => ({ id, code: opcode.loadWord, k: offset, next }));
  }

  and(mask: number, next: Node): Node {
    return mask === 0xffffffff ? next : this.node(`a${mask}:${next.id}`, (id) => ({ id, code: opcode.and, k: mask, next }));
  }

  /** Continues with `yes` if the comparison of the accumulator with `k` is true, otherwise with `no`. */
  branch(code: number, k: number, yes: Node, no: Node): Node {
    return yes === no ? yes : this.node(`b${code}:${k}:${yes.id}:${no.id}`, (id) => ({ id, code, k, yes, no }));
  }

  private node(key: string, make: (id: number) => Node): Node {
    const found = this.nodes.get(key) ?? bare(make(this.nodes.size));
    this.nodes.set(key, found);
    return found;
  }
}

const successors = (node: Node): readonly Node[] => ('yes' in node ? [node.no, node.yes] : 'next' in node ? [node.next] : []);

/**
 * Returns the instructions of a filter. They are placed from the last to the first, because classic BPF only jumps
 * forward.
 */
export function assemble(root: Node): readonly Instruction[] {
  const reversed: Instruction[] = [];
  const places = new Map<number, number>();
  const push = (instruction: Instruction) => reversed.push(instruction) - 1;
  const distance = (place: number) => reversed.length - 1 - place;
  // The offsets of a conditional jump have eight bits; an unconditional jump reaches further.
  const jump = (place: number) => push({ code: opcode.jump, jt: 0, jf: 0, k: distance(place) });

  const place = (node: Node): number => places.get(node.id) ?? 0;
  const lay = (node: Node): number => {
    const { code, k } = node;
    if ('yes' in node) {
      let [no, yes] = [place(node.no), place(node.yes)];
      // A jump that is inserted for one of them moves the other by one.
      if (distance(no) >= maxOffset) no = jump(no);
      if (distance(yes) >= maxOffset) yes = jump(yes);
      return push({ code, jt: distance(yes), jf: distance(no), k });
    }
    if (!('next' in node)) return push({ code, jt: 0, jf: 0, k });
    const next = place(node.next);
    if (distance(next) > 0) jump(next);
    return push({ code, jt: 0, jf: 0, k });
  };
  // Without recursion: the rules of one system call can be thousands of nodes deep.
  const open = [root];
  for (let node = open.at(-1); node; node = open.at(-1)) {
    const next = successors(node).find(({ id }) => !places.has(id));
    if (next) open.push(next);
    else {
      if (!places.has(node.id)) places.set(node.id, lay(node));
      open.pop();
    }
  }
  return reversed.reverse();
}
