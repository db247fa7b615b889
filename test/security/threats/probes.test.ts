// A static program of attacks runs under nsjs and under weak controls: the host itself, a plain `unshare`, bubblewrap,
// runc, and nsjs with one defence disabled. An attack counts only if it succeeds under a control: an attack that never
// succeeds proves nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { isRoot } from '../../support';
import { hasRunc, runContainer } from '../../support/container';

const probes = join(__dirname, '../../../build/test/probes');
const mounts = [{ type: 'bind', source: probes, target: '/probes' }] as const;

type Answers = ReadonlyMap<string, string>;

const parse = (text: string): Answers =>
  new Map(
    text.split('\n').flatMap((line) => {
      const [, id, answer] = /^(\S+) (OPEN|BLOCKED|NA|WORK|FAIL)/.exec(line) ?? [];
      return id && answer ? [[id, answer] as const] : [];
    }),
  );

const command = (...words: readonly string[]): Answers => {
  const [file = '', ...args] = words;
  const leaked = openSync('/', 'r');
  // Stdin and stdout are sockets, as child_process creates them, and a directory of the host is left open.
  return parse(
    spawnSync(file, args, { encoding: 'utf8', input: 'typed by somebody else', stdio: ['pipe', 'pipe', 'ignore', leaked] }).stdout ?? '',
  );
};

const withNsjs = async (options: SpawnOptions): Promise<Answers> => {
  const result = await spawnIsolated('/probes', [hostname()], { mounts, reject: false, ...options });
  return parse(String(result.stdout));
};

/** Runs nsjs in a Node process with open descriptors that lack CLOEXEC, as addons leave them. */
function nsjsInLeakyNode(options: SpawnOptions): Answers {
  const script = `require('nsjs').spawnIsolated('/probes', [${JSON.stringify(hostname())}], ${JSON.stringify({ mounts, ...options })}).then(({ stdout }) => console.log(stdout))`;
  const leaked = openSync('/', 'r');
  const environment = { ...process.env, LD_PRELOAD: '', NODE_OPTIONS: '', SSH_AUTH_SOCK: '/tmp/agent', AWS_SECRET_ACCESS_KEY: 'secret' };
  return parse(
    execFileSync(process.execPath, ['-e', script], {
      cwd: __dirname,
      encoding: 'utf8',
      env: environment,
      stdio: ['pipe', 'pipe', 'inherit', leaked, leaked, leaked],
    }),
  );
}

const hasBwrap = spawnSync('bwrap', ['--version']).error === undefined;
const bwrapArgs = [
  '--unshare-all',
  '--ro-bind',
  '/',
  '/',
  '--dev',
  '/dev',
  '--proc',
  '/proc',
  '--tmpfs',
  '/tmp',
  '--ro-bind',
  probes,
  '/tmp/probes',
  '/tmp/probes',
  'x',
];

/** Attacks that succeed under no control on a kernel like this one, and where the defence is tested instead. */
const unprovable: Readonly<Record<string, string>> = {
  D02: 'the kernel has no x32 ABI; the compiled filter refuses it by the interpreter’s test',
  D05: 'unknown calls answer ENOSYS everywhere; the compiled filter does by the interpreter’s test',
  D07: 'the kernel has no AF_ALG; the compiled filter refuses it by the interpreter’s test',
};

/**
 * Attacks that only root could carry out on the host: without root they succeed under no control. They are tested when
 * root runs the tests.
 */
const rootOnly = isRoot ? [] : ['B17', 'B21', 'B23'];

/** The answers of each control by its name. The first four are the columns of the table. */
let controls: ReadonlyMap<string, Answers>;

beforeAll(async () => {
  controls = new Map([
    ['host', command(probes, hostname())],
    ['unshare', command('unshare', '-Urmpnifu', '--mount-proc', probes, hostname())],
    ['bwrap', hasBwrap ? command('bwrap', ...bwrapArgs) : new Map()],
    ['runc', hasRunc ? parse(runContainer({ args: [probes, hostname()], binds: [probes, '/usr'], seccomp: true }).stdout) : new Map()],
    ['nsjs without seccomp', await withNsjs({ seccomp: 'off', input: 'x' })],
    ['nsjs as nobody', await withNsjs({ user: { uid: 65_534 } })],
    ['nsjs with capabilities', await withNsjs({ seccomp: 'off', landlock: 'off', capabilities: 'all', proc: 'full' })],
  ]);
});

const isOpen = (id: string) => [...controls.values()].some((answers) => answers.get(id) === 'OPEN');

/** One row per attack: O is open, . is blocked, - could not be tried. */
function table(nsjs: Answers): string {
  const columns = [...[...controls].slice(0, 4), ['nsjs', nsjs] as const];
  const sign = (answer: string | undefined) => (answer === 'OPEN' ? 'O' : answer === 'BLOCKED' ? '.' : '-');
  const rows = [...nsjs.keys()]
    .filter((id) => id !== 'threads')
    .map(
      (id) =>
        `  ${id.padEnd(6)}${columns
          .map(([name, answers]) =>
            sign(answers.get(id))
              .padStart(Math.ceil(name.length / 2))
              .padEnd(name.length + 2),
          )
          .join('')}`,
    );
  return [`  ${''.padEnd(6)}${columns.map(([name]) => `${name}  `).join('')}`, ...rows].join('\n');
}

test('every attack that succeeds under a weak control is blocked', () => {
  const answers = nsjsInLeakyNode({});
  const open = [...answers].filter(([, answer]) => answer === 'OPEN').map(([id]) => id);
  const counted = [...answers.keys()].filter((id) => id !== 'threads' && isOpen(id));
  const others = [...answers.keys()].filter((id) => id !== 'threads' && !isOpen(id));
  process.stderr.write(`${table(answers)}\n`);
  process.stderr.write(
    `threats: ${counted.length} attacks open under a control, ${counted.length - open.length} of them blocked; without proof: ${others.join(', ') || 'none'}\n`,
  );
  expect(open).toEqual([]);
  expect(counted.length).toBeGreaterThan(60);
  // A machine without 32-bit system calls (int 0x80) has nothing to refuse.
  const lacking = controls.get('host')?.get('D01') === 'OPEN' ? [] : ['D01'];
  // Only x64 has segments, which modify_ldt(2) sets.
  if (process.arch !== 'x64') lacking.push('D18');
  expect(others.filter((id) => !(id in unprovable) && !rootOnly.includes(id) && !lacking.includes(id))).toEqual([]);
});

test('threads still work', () => {
  expect(nsjsInLeakyNode({}).get('threads')).toBe('WORK');
});

test('the preset for Node opens only the routing protocol of netlink', () => {
  const open = [...nsjsInLeakyNode({ preset: 'node' })].filter(([, answer]) => answer === 'OPEN').map(([id]) => id);
  // AF_NETLINK's routing protocol, for os.networkInterfaces()
  expect(open).toEqual(['D10d']);
});

test('a writable bind mount opens nothing else', () => {
  const writable = [...mounts, { type: 'bind', source: '/var/tmp', target: '/job', readonly: false }] as const;
  expect([...nsjsInLeakyNode({ mounts: writable })].filter(([, answer]) => answer === 'OPEN')).toEqual([]);
});

/** Rows of the catalogue that stay open, each with the reason why it does no harm. */
const leftOpen: readonly (readonly [id: string, what: string, why: string])[] = [
  [
    'B15',
    'connect() to a Unix socket below a bind',
    'a caller binds it on purpose, and nothing that is bound by default holds one; a mask hides it, `deny` of socket with family 1 closes all of them (tested in races.test.ts); Landlock ABI 9 will',
  ],
  [
    'B26',
    'the path of a bind below its own file system, in /proc/self/mountinfo',
    'a name without the file system it is on; `proc: off` hides it',
  ],
  ['C23', 'affinity to every processor', 'the kernel shares each of them fairly; CPU limits are a matter of cgroups'],
  [
    'C30',
    'memfd and anonymous memory can be executed',
    'whatever runs there is under the same walls; compilers at run time need it; memoryDenyWriteExecute with `deny: [memfd_create]` closes it',
  ],
  [
    'E13',
    'UDP, ICMP and Unix sockets past Landlock in the preset `landlock`',
    'the preset makes no socket at all; who names `network: host` there asks for it',
  ],
  ['G05', 'boot time and uptime', 'tell nothing that is the host’s alone; `time` offsets them'],
  ['G07', 'timing and speculation side channels', 'the machine’s; `speculation`, `coreScheduling` and `tscDeny` narrow them'],
  ['G10', 'inode numbers of pipes and namespaces', 'numbers that are counted up, of nothing one could reach'],
  ['G12', 'the sandbox’s own host id in mount options', 'it names nobody'],
];

afterAll(() => {
  process.stderr.write(`left open:\n${leftOpen.map(([id, what, why]) => `  ${id.padEnd(5)}${what}: ${why}`).join('\n')}\n`);
});
