import { getServers } from 'node:dns';
import { accessSync, constants, existsSync } from 'node:fs';
import { NsError } from '../../base/errors';
import type { PastaSpec } from '../../features/pasta';

const folders = ['/usr/local/bin', '/usr/bin', '/bin'];
const tun = '/dev/net/tun';

/** Where the program is; undefined where it is not installed. Found by fixed places: nothing in the environment redirects it. */
export const findPasta = (): string | undefined => folders.map((folder) => `${folder}/pasta`).find((path) => existsSync(path));

/** Why it can't be used here, and what to do about that; undefined where it can. */
export function pastaMissing(): { readonly reason: string; readonly fix: string } | undefined {
  if (findPasta() === undefined) return { reason: 'pasta(1) is not installed', fix: "install Debian's passt" };
  try {
    accessSync(tun, constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return { reason: `${tun} cannot be opened`, fix: `chmod 666 ${tun}, as most distributions have it` };
  }
}

/** Throws NsError ERR_NSJS_UNSUPPORTED. */
export function requirePasta(): string {
  const missing = pastaMissing();
  if (missing) throw new NsError('ERR_NSJS_UNSUPPORTED', `network.pasta: ${missing.reason}`, { hint: missing.fix });
  return findPasta() ?? '';
}

/** Descriptor of the network namespace that it is started with. */
export const pastaNamespaceFd = 3;

/** What it opens by itself is off: the gateway's way to the host's loopback, and every port. */
export function pastaArguments({ publish, mtu }: PastaSpec): readonly string[] {
  const ports = publish.length === 0 ? ['none'] : publish.map(([outside, inside]) => `127.0.0.1/${outside}:${inside}`);
  return [
    '--quiet',
    '--config-net',
    '--no-map-gw',
    ...ports.flatMap((port) => ['--tcp-ports', port]),
    ...['--udp-ports', 'none', '--tcp-ns', 'none', '--udp-ns', 'none'],
    ...['--ns-ifname', 'eth0', '--mtu', `${mtu}`],
    // Otherwise it gives up the rights that it needs to enter the namespace.
    '--runas',
    '0',
    '--netns',
    `/proc/self/fd/${pastaNamespaceFd}`,
  ];
}

/** Name servers of this host that are not on its loopback. */
export const outerResolvers = (): readonly string[] =>
  getServers()
    .map((server) => server.replace(/^\[(.*)\].*$/, '$1'))
    .filter(
      (server) =>
        !server.startsWith('127.') && server !== '::1' && !server.includes('%') && !/:\d+$/.test(server.includes('.') ? server : ''),
    );
