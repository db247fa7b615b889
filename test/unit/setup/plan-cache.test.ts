import { host } from '../../../dist/host/host';
import { parseOptions, readSpawnOptions } from '../../../dist/options/options';
import { sections } from '../../../dist/plan/operation';
import { ops } from '../../../dist/plan/ops';
import { firstHostId } from '../../../dist/setup/host-id';
import { planFor } from '../../../dist/setup/plan-cache';
import { writePlan } from '../../../dist/setup/write-plan';

const headerSize = 64;
const opSize = 32;

const context = (index: number, options: { readonly args?: readonly string[]; readonly stdio?: 'ignore' | 'pipe' }) => {
  const { spec, program } = parseOptions(`program${index}`, options.args, readSpawnOptions({ stdio: options.stdio }));
  const directory = (controller: string) => `/sys/fs/cgroup/${controller}/nsjs-77-00000000${index}-abcdef01`;
  const cgroups = {
    version: 1,
    directories: { memory: directory('memory'), pids: directory('pids') },
    swapAccounting: true,
    limits: {},
  } as const;
  return { spec, context: { host: host(), hostId: firstHostId + index, lockFd: 9, cgroups, dropped: [], program, kind: 'run' } as const };
};

/** Decodes every operation with its texts in full, because the offset of a text in the plan does not matter. */
function meaning(bytes: Uint8Array): unknown {
  const plan = Buffer.from(bytes);
  const kinds = Object.values(ops).map(({ kinds: kind }) => kind);
  const counts = sections.map((_, index) => plan.readUInt32LE(8 + index * 4));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const text = (at: number) => plan.toString('latin1', at + 4, at + 4 + plan.readUInt32LE(at));
  const list = Array.from({ length: total }, (_, index) => {
    const at = headerSize + index * opSize;
    const code = plan.readUInt32LE(at);
    const args = [...(kinds[code & 0xffff] ?? '')].map((kind, position) => {
      const word = plan.readUInt32LE(at + 4 + position * 4);
      return kind === 'T' ? text(word) : word;
    });
    return [code, ...args];
  });
  return { size: plan.readUInt32LE(4) === plan.length, counts, passed: plan.readUInt32LE(32), list };
}

test.each([
  ['the same', {}],
  ['other arguments', { args: ['one', 'a much longer argument than any before'] }],
  ['other descriptors', { stdio: 'pipe' }],
  ['no pipes', { stdio: 'ignore' }],
] as const)('a plan from a template equals a newly written plan: %s', (_, options) => {
  for (let index = 0; index < 3; index++) {
    const one = context(index, options);
    const other = context(index + 4, options);
    planFor(one.spec, one.context);
    const templated = planFor(other.spec, other.context);
    const written = writePlan(other.spec, other.context);
    expect(templated).not.toBeInstanceOf(written.constructor);
    expect(templated.passed).toEqual(written.passed);
    expect(templated.stdio).toEqual(written.stdio);
    for (const section of sections) expect(templated.section(section)).toEqual(written.section(section));
    expect(meaning(templated.bytes())).toEqual(meaning(written.bytes()));
  }
});
