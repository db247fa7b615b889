import { host } from '../../dist/host';
import { firstHostId } from '../../dist/launch/host-id';
import { parseOptions } from '../../dist/launch/options';
import { writePlan } from '../../dist/launch/plan';
import { planFor } from '../../dist/launch/template';
import { sections } from '../../dist/plan/writer';

const scene = (index: number, options: { readonly args?: readonly string[]; readonly stdio?: 'ignore' | 'pipe' }) => {
  const { spec, program } = parseOptions(`program${index}`, options.args, { stdio: options.stdio });
  const folder = (controller: string) => `/sys/fs/cgroup/${controller}/nsjs-77-00000000${index}-abcdef01`;
  const cgroups = { version: 1, folders: { memory: folder('memory'), pids: folder('pids') }, swapAccounting: true } as const;
  return { spec, scene: { host: host(), hostId: firstHostId + index, lockFd: 9, cgroups, dropped: [], program, kind: 'run' } as const };
};

/** Header, operations, and every text by its content: the place of a text in the plan does not matter. */
function meaning(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .split(' ')
    .filter((word) => word.length > 3)
    .sort()
    .join('\n');
}

test.each([
  ['the same', {}],
  ['other arguments', { args: ['one', 'a much longer argument than any before'] }],
  ['other descriptors', { stdio: 'pipe' }],
  ['no pipes', { stdio: 'ignore' }],
] as const)('a plan from a template says what a plan that is written anew says: %s', (_, options) => {
  for (let index = 0; index < 3; index++) {
    const one = scene(index, options);
    const other = scene(index + 4, options);
    planFor(one.spec, one.scene);
    const templated = planFor(other.spec, other.scene);
    const written = writePlan(other.spec, other.scene);
    expect(templated).not.toBeInstanceOf(written.constructor);
    expect(templated.passed).toEqual(written.passed);
    expect(templated.stdio).toEqual(written.stdio);
    for (const section of sections) expect(templated.section(section)).toEqual(written.section(section));
    const text = meaning(templated.bytes());
    for (const word of meaning(written.bytes()).split('\n')) expect(text).toContain(word);
    for (const stale of [`nsjs-77-00000000${index}-`, `${one.scene.hostId}`]) expect(text).not.toContain(stale);
  }
});
