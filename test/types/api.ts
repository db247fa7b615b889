// Compiled, never run: what the types must allow and refuse.
import { type IsolatedProcess, type Result, type SandboxOptions, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { pidfdOpen } from 'nsjs/sys';

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
