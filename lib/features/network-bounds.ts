/**
 * What bounds the kernel's memory for sockets, as far as no control group is charged for it: sysctls of a network namespace, by their path below
 * /proc/sys. TCP keeps the first part of a queue whatever the group's limit is, so each socket has little (Linux 4.15); what a socket holds beside
 * its queues is small (6.8); nothing keeps copies of what was sent (6.12); few connections wait that nobody has accepted, which a group is only charged
 * for then. Where the kernel has one of them for the whole machine only, it is left as it is.
 */
export type NetworkBounds = readonly (readonly [path: string, text: string])[];

const common: NetworkBounds = [
  ['net/core/optmem_max', '20480'],
  ['net/core/tstamp_allow_data', '0'],
  ['net/core/somaxconn', '512'],
];

/** Of a network that leads nowhere but to this machine: 2 GB/s within it with queues of 128 KiB. */
export const loopbackBounds: NetworkBounds = [
  ...common,
  ['net/ipv4/tcp_rmem', '4096 32768 131072'],
  ['net/ipv4/tcp_wmem', '4096 16384 131072'],
];

const conntrack = (name: string, seconds: number) => [`net/netfilter/nf_conntrack_${name}`, `${seconds}`] as const;

/**
 * Of a way out that this process serves. The kernel's table of connections is charged to nobody (slab, not accounted), and its size is set for
 * the whole machine, so what is over is forgotten soon. Nothing depends on it but answers to questions of DNS, which have 10 s.
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

/** Of one with interfaces: a window of 2 MiB is 40 MB/s over 50 ms. */
export const uplinkBounds: NetworkBounds = [
  ...common,
  ['net/ipv4/tcp_rmem', '4096 65536 2097152'],
  ['net/ipv4/tcp_wmem', '4096 16384 2097152'],
];

/** As operation Sysctl and the addon take them: each path and text ends with a zero. */
export const boundsText = (bounds: NetworkBounds): Uint8Array =>
  Buffer.from(
    bounds
      .flat()
      .map((part) => `${part}\0`)
      .join(''),
  );
