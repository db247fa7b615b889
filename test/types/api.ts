// Compiled, never run: what the types must allow and refuse.
import {
  ExitError,
  type Fd,
  type FileHandle,
  type IsolatedProcess,
  isNsjsError,
  type LimitsSpec,
  type MacvlanOptions,
  Namespace,
  type NamespaceReference,
  Network,
  NsError,
  PidFd,
  type PidfdInfo,
  presets,
  prometheusMetrics,
  type Report,
  type Result,
  Sandbox,
  type SandboxOptions,
  SandboxPool,
  SysError,
  spawnIsolated,
  spawnIsolatedSync,
  type WaitStatus,
} from 'nsjs';
import { type Instrumentation, instrument } from 'nsjs/otel';
import * as sys from 'nsjs/sys';
import { pidfdOpen } from 'nsjs/sys';
import * as netlink from 'nsjs/sys/netlink';

export const text: Promise<Result<string>> = spawnIsolated('true');
export const bytes: IsolatedProcess<Buffer> = spawnIsolated('true', [], { encoding: 'buffer' });
export const sync: string = spawnIsolatedSync('true').stdout;
export const fd: number = pidfdOpen(1);

export const options: SandboxOptions = {
  preset: 'untrusted',
  namespaces: { net: 'host', time: true },
  mounts: [{ type: 'bind', source: new URL('file:///usr'), target: '/x', readonly: false }],
  limits: { memory: '64M', swap: 0 },
  capabilities: ['CAP_NET_BIND_SERVICE'],
  seccomp: { deny: ['ptrace'] },
  rlimits: { nofile: { soft: 1, hard: 'unlimited' } },
};

export const confined: SandboxOptions = {
  root: { lower: ['/a', '/b'], upper: 'memory' },
  user: { ids: 'range' },
  landlock: { execute: ['system', '/opt'], paths: { '/w': ['READ_FILE', 1 << 16] }, scopes: ['signal'] },
  seccomp: { allow: [{ names: ['@numa'], when: [{ index: 0, op: 'eq', value: 1n }] }] },
  capabilities: { permitted: ['CAP_KILL'] },
};
// @ts-expect-error no such right
export const wrongRight: SandboxOptions = { landlock: { paths: { '/w': ['READ'] } } };
// @ts-expect-error no such comparison
export const wrongComparison: SandboxOptions = { seccomp: { deny: [{ names: 'read', when: [{ index: 0, op: '==', value: 1 }] }] } };
// @ts-expect-error no such namespace
export const wrongNamespace: SandboxOptions = { namespaces: { network: true } };
// @ts-expect-error a bind has no `write`
export const wrongMount: SandboxOptions = { mounts: [{ type: 'bind', source: '/a', write: true }] };
// @ts-expect-error no such capability
export const wrongCapability: SandboxOptions = { capabilities: ['CAP_EVERYTHING'] };
// @ts-expect-error no such preset
export const wrongPreset: SandboxOptions = { preset: 'strict' };
// @ts-expect-error a size has a unit of one letter
export const wrongSize: SandboxOptions = { limits: { memory: '64MB' } };
export const assign = (policy: SandboxOptions) => {
  // @ts-expect-error policy is data that nobody changes
  policy.hostname = 'x';
};

export const wayOut: SandboxOptions = {
  network: {
    egress: {
      allow: ['a.test:443'],
      services: { 'db.local:1': (socket) => socket.end() },
      onConnect: async ({ name, listed }) => (name === 'x' ? { redirect: 'y:1' } : listed === undefined ? 'deny' : undefined),
    },
    sysctl: { 'net.ipv4.ip_default_ttl': 9 },
  },
};
export const wires: SandboxOptions = { network: { veth: [{ addresses: ['10.0.0.2/24'] }, { name: 'b' }], macvlan: { parent: 'eth0' } } };
// @ts-expect-error a decision is one of these
export const wrongDecision: SandboxOptions = { network: { egress: { onConnect: () => 'maybe' } } };
// @ts-expect-error a macvlan lies on something
export const wrongMacvlan: SandboxOptions = { network: { macvlan: {} } };

// Types that several entries export are one type, in both directions.
export const handle: FileHandle = sys.nameToHandleAt(sys.AT.FDCWD, '/');
export const handleOfSys: sys.FileHandle = handle;
export const info: PidfdInfo = sys.pidfdInfo(fd);
export const infoOfSys: sys.PidfdInfo = PidFd.open(1).info();
export const status: Promise<WaitStatus | null> = sys.waitidAsync(fd, sys.W.EXITED);
export const statusOfSys: Promise<sys.WaitStatus | null> = PidFd.open(1).exited();
export const mode: netlink.MacvlanMode = ({ parent: 'eth0', mode: 'bridge' } satisfies MacvlanOptions).mode;
export const socketIn = (sandbox: Sandbox): netlink.NetlinkSocket => netlink.NetlinkSocket.open('route', sandbox.net.namespaces);
export const placeOf = (sandbox: Sandbox): sys.SocketNamespaces => sandbox.net.namespaces;

// Errors and descriptors keep their classes, and what they inherit.
export const failed: NsError = new NsError('ERR_NSJS_CLOSED', 'closed');
export const caught = (error: unknown): string | number => {
  if (error instanceof ExitError) return `${error.code} ${error.reason} ${error.stdout}`;
  if (error instanceof SysError) return error.errno;
  return isNsjsError(error) ? error.code : '';
};
export const descriptor = (namespace: Namespace<'net'>): Fd => namespace;
export const pidDescriptor: Fd = PidFd.from(3, 1);
export const reference: NamespaceReference = Namespace.open(1, 'net').toJSON();
// @ts-expect-error the class is not structural
export const lookalike: Fd = { fd: 3, closed: false, release: () => 3, close() {}, [Symbol.dispose]() {} };
// @ts-expect-error only nsjs itself opens these
export const made = () => new PidFd();

export const longLived = async (): Promise<Report> => {
  const network = await Network.create({ subnet: '10.1.0.0/24' });
  const sandbox: Sandbox = await Sandbox.open({ ...presets.untrusted, network: { veth: { network } } });
  sandbox.events.on('limit', ({ kind }) => console.log(kind));
  network.attach(sandbox, { alias: 'a' });
  const limits: LimitsSpec = sandbox.limits;
  const { stdout }: Result<Buffer> = await sandbox.spawn('true', [], { encoding: 'buffer' });
  await using pool = await SandboxPool.open({}, { size: 1 });
  for await (const line of pool.spawn('true')) console.log(line.length, stdout.length, limits.memory);
  console.log(prometheusMetrics([sandbox]), await sandbox.fs.readFile('/etc/passwd', { encoding: 'utf8' }));
  return sandbox.report;
};
// @ts-expect-error an internal part
export const runtimeOf = (sandbox: Sandbox) => sandbox.runtime;

export const instrumentation: Instrumentation = instrument();
export const measured: void = instrument({}).stop();
export const expressions: readonly netlink.Expression[] = [netlink.meta('l4proto'), netlink.cmp('eq', Uint8Array.of(6))];
// @ts-expect-error no such operator
export const wrongOperator = netlink.cmp('=', Uint8Array.of(6));
