// One static program of attacks, under nsjs and under weak controls. A probe counts if a control shows it open: what no
// control can open proves nothing. Controls are the host itself, a plain `unshare`, bubblewrap, and nsjs with one defence off.
import { execFileSync, spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { isRoot } from '../support';

const probes = join(__dirname, '../../build/test/probes');
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
  // Stdin and stdout are sockets, as child_process makes them, and a folder of the host is left open.
  return parse(
    spawnSync(file, args, { encoding: 'utf8', input: 'typed by somebody else', stdio: ['pipe', 'pipe', 'ignore', leaked] }).stdout ?? '',
  );
};

const withNsjs = async (options: SpawnOptions): Promise<Answers> => {
  const result = await spawnIsolated('/probes', [hostname()], { mounts, reject: false, ...options });
  return parse(String(result.stdout));
};

/** Runs nsjs in a Node that has descriptors open without CLOEXEC, as addons leave them. */
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

/** What no control opens on a kernel like this one, and where it is proved instead. */
const unprovable: Readonly<Record<string, string>> = {
  D02: 'the kernel has no x32 ABI; the compiled filter refuses it by the interpreter’s test',
  D05: 'unknown calls answer ENOSYS everywhere; the compiled filter does by the interpreter’s test',
  D07: 'the kernel has no AF_ALG; the compiled filter refuses it by the interpreter’s test',
};

/** What only root could do on the host: without root no control can show it. The same probes are proved when root runs them. */
const rootOnly = isRoot ? [] : ['B17', 'B21', 'B23'];

let controls: readonly Answers[];

beforeAll(async () => {
  controls = [
    command(probes, hostname()),
    command('unshare', '-Urmpnifu', '--mount-proc', probes, hostname()),
    ...(hasBwrap ? [command('bwrap', ...bwrapArgs)] : []),
    await withNsjs({ seccomp: 'off', input: 'x' }),
    await withNsjs({ user: { uid: 65_534 } }),
    await withNsjs({ seccomp: 'off', capabilities: 'all', proc: 'full' }),
  ];
});

const isOpen = (id: string) => controls.some((answers) => answers.get(id) === 'OPEN');

test('every attack that a weak control lets through is blocked', () => {
  const answers = nsjsInLeakyNode({});
  const open = [...answers].filter(([, answer]) => answer === 'OPEN').map(([id]) => id);
  const counted = [...answers.keys()].filter((id) => id !== 'threads' && isOpen(id));
  const others = [...answers.keys()].filter((id) => id !== 'threads' && !isOpen(id));
  process.stderr.write(
    `threats: ${counted.length} attacks open under a control, ${counted.length - open.length} of them blocked; without proof: ${others.join(', ') || 'none'}\n`,
  );
  expect(open).toEqual([]);
  expect(counted.length).toBeGreaterThan(60);
  expect(others.filter((id) => !(id in unprovable) && !rootOnly.includes(id))).toEqual([]);
});

test('threads work all the same', () => {
  expect(nsjsInLeakyNode({}).get('threads')).toBe('WORK');
});

test('the preset for Node opens only what it says', () => {
  const open = [...nsjsInLeakyNode({ preset: 'node' })].filter(([, answer]) => answer === 'OPEN').map(([id]) => id);
  // AF_NETLINK's routing protocol, for os.networkInterfaces()
  expect(open).toEqual(['D10d']);
});

test('with a writable bind nothing else opens', () => {
  const writable = [...mounts, { type: 'bind', source: '/var/tmp', target: '/job', readonly: false }] as const;
  expect([...nsjsInLeakyNode({ mounts: writable })].filter(([, answer]) => answer === 'OPEN')).toEqual([]);
});

/** Rows of the catalogue's groups A, B, C, D and G that stay open for now, with the reason. */
const leftOpen: readonly (readonly [id: string, what: string, why: string])[] = [
  [
    'B15',
    'connect() to a Unix socket in a read-only bind',
    'permissions decide it; hide the socket with a mask. Landlock (ABI 9) will refuse it',
  ],
  ['B26', 'host paths of binds in /proc/self/mountinfo', 'the kernel shows the path inside the source’s file system; documented'],
  ['B31', 'links planted in an output folder', 'the caller reads it with its own calls; a reader that resists is to come with sandbox.fs'],
  ['B32', 'FIFOs and sparse files planted in an output folder', 'as B31'],
  ['C23', 'a program that uses every processor', 'no CPU limits yet, only CPU time'],
  ['C30', 'memfd and anonymous memory can be executed', 'allowed by default: JIT compilers need it'],
  ['G05', 'boot time and uptime', 'a time namespace without offsets changes nothing; offsets are to come'],
  ['G07', 'timing and speculation side channels', 'documented; speculation controls are to come'],
  ['G10', 'inode numbers of pipes and namespaces', 'documented'],
  ['G12', 'the sandbox’s own host id in mount options', 'the kernel shows it; it names nobody'],
];

afterAll(() => {
  process.stderr.write(`left open:\n${leftOpen.map(([id, what, why]) => `  ${id.padEnd(5)}${what}: ${why}`).join('\n')}\n`);
});
