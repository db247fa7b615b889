import { getServers } from 'node:dns';
import { accessSync, constants, existsSync } from 'node:fs';
import { NsError } from '../../base/errors';
import type { PastaSpec } from '../../features/pasta';

const directories = ['/usr/local/bin', '/usr/bin', '/bin'];
const tun = '/dev/net/tun';

/**
 * Returns the path of pasta(1), or undefined if it is not installed. Only fixed directories are searched, so that the
 * environment cannot redirect it.
 */
export const findPasta = (): string | undefined => directories.map((directory) => `${directory}/pasta`).find((path) => existsSync(path));

/** Returns the reason why pasta(1) cannot be used here and how to fix it, or undefined if it can be used. */
export function pastaMissing(): { readonly reason: string; readonly fix: string } | undefined {
  if (findPasta() === undefined) return { reason: 'pasta(1) is not installed', fix: "install Debian's passt" };
  try {
    accessSync(tun, constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return { reason: `${tun} cannot be opened`, fix: `chmod 666 ${tun}, the default mode of most distributions` };
  }
}

/** Returns the path of pasta(1). Throws NsError ERR_NSJS_UNSUPPORTED. */
export function requirePasta(): string {
  const missing = pastaMissing();
  if (missing) throw new NsError('ERR_NSJS_UNSUPPORTED', `network.pasta: ${missing.reason}`, { hint: missing.fix });
  return findPasta() ?? '';
}

/** Descriptor of the network namespace in the pasta process. */
const pastaNamespaceFd = 3;

/**
 * Returns the arguments of pasta(1). They disable everything that pasta opens by default: access to the host's loopback
 * through the gateway, and all ports.
 */
export function pastaArguments({ publish, mtu }: PastaSpec): readonly string[] {
  const ports = publish.length === 0 ? ['none'] : publish.map(([outside, inside]) => `127.0.0.1/${outside}:${inside}`);
  return [
    '--quiet',
    '--config-net',
    '--no-map-gw',
    ...ports.flatMap((port) => ['--tcp-ports', port]),
    ...['--udp-ports', 'none', '--tcp-ns', 'none', '--udp-ns', 'none'],
    ...['--ns-ifname', 'eth0', '--mtu', `${mtu}`],
    // Without this, pasta drops the rights that it needs to enter the namespace.
    '--runas',
    '0',
    '--netns',
    `/proc/self/fd/${pastaNamespaceFd}`,
  ];
}

/** Returns the name servers of this host that are not on its loopback interface. */
export const outerResolvers = (): readonly string[] =>
  getServers()
    .map((server) => server.replace(/^\[(.*)\].*$/, '$1'))
    .filter(
      (server) =>
        !server.startsWith('127.') && server !== '::1' && !server.includes('%') && !/:\d+$/.test(server.includes('.') ? server : ''),
    );
