import type { SandboxOptions } from './features';
import { deepFreeze } from './parse';

/**
 * Where options start from, as data.
 * - `untrusted`: a program that nobody has read. No network, no files of the host but programs and libraries, no
 *   capabilities, seccomp, limits on memory, processes and files.
 * - `node`: as `untrusted`, with what Node.js itself wants: more memory and threads, a /proc that shows the machine's
 *   processors and memory, and `os.networkInterfaces()`.
 * - `none`: namespaces only, for those who build their own: root inside, the host's files, every capability over the
 *   new namespaces, no seccomp, no limits. Not a sandbox.
 */
export const presets: Readonly<Record<NonNullable<SandboxOptions['preset']>, SandboxOptions>> = deepFreeze({
  untrusted: {
    cgroup: 'prefer',
    limits: { memory: '512M', swap: 0, pids: 64 },
    rlimits: { core: 1, nofile: 1024, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  node: {
    cgroup: 'prefer',
    proc: 'masked',
    netlink: true,
    limits: { memory: '1G', swap: 0, pids: 128 },
    rlimits: { core: 1, nofile: 4096, memlock: 65_536, msgqueue: 819_200, sigpending: 1024 },
  },
  none: {
    user: { uid: 0, gid: 0, inner: false },
    root: 'host',
    mounts: [{ type: 'proc', target: '/proc' }],
    proc: 'full',
    nestedUserNamespaces: true,
    cgroup: 'off',
    capabilities: 'all',
    noNewPrivileges: false,
    seccomp: 'off',
  },
});
