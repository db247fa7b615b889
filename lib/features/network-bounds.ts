/**
 * Sysctls of a network namespace, by path below /proc/sys, that bound socket memory for which no cgroup is charged. TCP
 * always keeps the first part of a queue, so queues are small (tcp_rmem and tcp_wmem, Linux 4.15). Ancillary data is
 * small (optmem_max, 6.8), and time stamps keep no copy of a packet (tstamp_allow_data, 6.12). A cgroup is charged for
 * a connection only when it is accepted, so few connections may wait (somaxconn). On a kernel that has one of these
 * sysctls only for the whole machine, its value is not changed.
 */
export type NetworkBounds = readonly (readonly [path: string, text: string])[];

const common: NetworkBounds = [
  ['net/core/optmem_max', '20480'],
  ['net/core/tstamp_allow_data', '0'],
  ['net/core/somaxconn', '512'],
];

/** Bounds of a network that reaches only this machine: queues of 128 KiB allow 2 GB/s within it. */
export const loopbackBounds: NetworkBounds = [
  ...common,
  ['net/ipv4/tcp_rmem', '4096 32768 131072'],
  ['net/ipv4/tcp_wmem', '4096 16384 131072'],
];

const conntrack = (name: string, seconds: number) => [`net/netfilter/nf_conntrack_${name}`, `${seconds}`] as const;

/**
 * Bounds of a network with egress. No cgroup is charged for the connection table (conntrack), and its size can be set
 * for the whole machine only, so closed connections expire soon. Only DNS answers depend on an entry; they have 10 s.
 */
export const egressBounds: NetworkBounds = [
  ...loopbackBounds,
  ...['time_wait', 'close'].map((state) => conntrack(`tcp_timeout_${state}`, 1)),
  ...['syn_sent', 'syn_recv', 'fin_wait', 'close_wait', 'last_ack', 'max_retrans', 'unacknowledged'].map((state) =>
    conntrack(`tcp_timeout_${state}`, 5),
  ),
  ...['udp_timeout', 'udp_timeout_stream'].map((name) => conntrack(name, 10)),
  ...['generic', 'icmp', 'icmpv6'].map((name) => conntrack(`${name}_timeout`, 1)),
];

/** Bounds of a network with interfaces: a window of 2 MiB allows 40 MB/s at a round-trip time of 50 ms. */
export const uplinkBounds: NetworkBounds = [
  ...common,
  ['net/ipv4/tcp_rmem', '4096 65536 2097152'],
  ['net/ipv4/tcp_wmem', '4096 16384 2097152'],
];

/** Encodes bounds for the operation Sysctl and the addon: each path and each text ends with a NUL. */
export const boundsText = (bounds: NetworkBounds): Uint8Array =>
  Buffer.from(
    bounds
      .flat()
      .map((part) => `${part}\0`)
      .join(''),
  );
