import { errnos } from '../base/errnos';
import { bare } from '../base/parse';
import { data, encode, opcode } from './bpf';
import { assemble, Graph, type Node } from './graph';
import { type Action, type Condition, errno, kill, type Policy, type Rule } from './policy';
import { type Arch, archTables } from './tables';

/** A range of system call numbers with the same decision, up to the next range. */
interface Range {
  readonly from: number;
  readonly node: Node;
}

/**
 * Compiles a policy to a filter for one architecture. Calls of another architecture kill the process. Calls of another
 * ABI (x32) and unknown calls fail with ENOSYS, so that libraries fall back. The rest is a binary search by number.
 */
export function compile(policy: Policy, arch: Arch): Uint8Array {
  const { audit, foreignFrom, numbers } = archTables[arch];
  const compiler = new Compiler();
  const search = compiler.searchTree(compiler.ranges(policy, numbers));
  return encode(assemble(compiler.forArch(audit, foreignFrom, search)));
}

/** Returns the SECCOMP_RET_* value of an action. */
export function returnValue(action: Action): number {
  switch (action.kind) {
    case 'kill':
      return 0x80000000;
    case 'killThread':
      return 0;
    case 'trap':
      return 0x00030000;
    case 'errno':
      return 0x00050000 | action.errno;
    case 'notify':
      return 0x7fc00000;
    case 'trace':
      return 0x7ff00000;
    case 'log':
      return 0x7ffc0000;
    case 'allow':
      return 0x7fff0000;
  }
}

class Compiler {
  private readonly graph = new Graph();

  forArch(audit: number, foreignFrom: number | undefined, search: Node): Node {
    const { graph } = this;
    const native =
      foreignFrom === undefined ? search : graph.branch(opcode.jumpGreaterEqual, foreignFrom, this.returning(errno(errnos.ENOSYS)), search);
    return graph.load(data.arch, graph.branch(opcode.jumpEqual, audit, graph.load(data.nr, native), this.returning(kill)));
  }

  ranges(policy: Policy, numbers: Readonly<Record<string, number>>): readonly Range[] {
    const byName = rulesByName(policy);
    const found: Range[] = [];
    const add = (from: number, node: Node) => {
      if (found.at(-1)?.node !== node) found.push({ from, node });
    };
    let next = 0;
    for (const [name, number] of Object.entries(numbers).sort(([, a], [, b]) => a - b)) {
      if (number > next) add(next, this.returning(errno(errnos.ENOSYS)));
      add(number, this.decision(byName.get(name) ?? [], policy.otherwise));
      next = number + 1;
    }
    add(next, this.returning(errno(errnos.ENOSYS)));
    return found;
  }

  searchTree(list: readonly Range[]): Node {
    const first = list[0];
    if (!first) throw new Error('a policy covers at least one range');
    if (list.length === 1) return first.node;
    const middle = list.length >> 1;
    const pivot = list[middle]?.from ?? 0;
    return this.graph.branch(opcode.jumpGreaterEqual, pivot, this.searchTree(list.slice(middle)), this.searchTree(list.slice(0, middle)));
  }

  private returning(action: Action): Node {
    return this.graph.return(returnValue(action));
  }

  private decision(rules: readonly Rule[], otherwise: Action): Node {
    return rules.reduceRight((no, rule) => {
      const { action, when = [] } = bare({ ...rule });
      return when.reduceRight((yes, condition) => this.compare(bare({ ...condition }), yes, no), this.returning(action));
    }, this.returning(otherwise));
  }

  private compare(condition: Condition, yes: Node, no: Node): Node {
    const { op, index } = condition;
    // The other three operators are negations of these, with `yes` and `no` swapped.
    if (op === 'ne') return this.compare(bare({ ...condition, op: 'eq' }), no, yes);
    if (op === 'lt') return this.compare(bare({ ...condition, op: 'ge' }), no, yes);
    if (op === 'le') return this.compare(bare({ ...condition, op: 'gt' }), no, yes);

    const { graph } = this;
    const [lowValue, highValue] = halves(BigInt.asUintN(condition.width, condition.value));
    const [lowMask, highMask] = halves(condition.mask ?? 0xffff_ffff_ffff_ffffn);
    const masked = (half: 'low' | 'high', mask: number, next: Node) => graph.load(data.argument(index, half), graph.and(mask, next));
    const lowCode = op === 'eq' ? opcode.jumpEqual : op === 'gt' ? opcode.jumpGreater : opcode.jumpGreaterEqual;
    const low = masked('low', lowMask, graph.branch(lowCode, lowValue, yes, no));
    if (condition.width === 32) return low;
    const equal = graph.branch(opcode.jumpEqual, highValue, low, no);
    return masked('high', highMask, op === 'eq' ? equal : graph.branch(opcode.jumpGreater, highValue, yes, equal));
  }
}

function rulesByName({ rules }: Policy): ReadonlyMap<string, readonly Rule[]> {
  const byName = new Map<string, Rule[]>();
  for (const rule of rules) {
    for (const name of rule.names) {
      const list = byName.get(name) ?? [];
      list.push(rule);
      byName.set(name, list);
    }
  }
  return byName;
}

function halves(value: bigint): readonly [low: number, high: number] {
  return [Number(value & 0xffffffffn), Number(value >> 32n)];
}
