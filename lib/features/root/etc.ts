import { hostname as ownHostname } from 'node:os';
import type { Context } from '../feature';
import { defaultHostname } from '../hostname';
import { insideIds } from '../id-map';
import type { Spec } from '../spec';
import { homeDirectory, userName } from './home';

/** Returns the generated files of a `system` root's own /etc. None is copied from the host. */
export function etcFiles(
  spec: Spec,
  { host, network }: Pick<Context, 'host' | 'network'>,
): readonly (readonly [path: string, text: string])[] {
  const { uid, gid } = insideIds(spec.user, host);
  const name = nameOf(spec);
  const rootUser = uid === 0 ? '' : 'root:x:0:0:root:/:/usr/sbin/nologin\n';
  const rootGroup = gid === 0 ? '' : 'root:x:0:\n';
  return [
    [
      '/etc/passwd',
      `${rootUser}${userName}:x:${uid}:${gid}:${userName}:${homeDirectory}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n`,
    ],
    ['/etc/group', `${rootGroup}${userName}:x:${gid}:\nnogroup:x:65534:\n`],
    ['/etc/hosts', `127.0.0.1 localhost\n::1 localhost\n${name === 'localhost' ? '' : `127.0.1.1 ${name}\n`}${namedHosts(spec.network)}`],
    ['/etc/hostname', `${name}\n`],
    ['/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n'],
    ['/etc/resolv.conf', resolvConf(network?.resolvers ?? namedServers(spec.network))],
  ];
}

// The host name of another sandbox is not known here.
const nameOf = ({ hostname, namespaces: { uts, joined } }: Spec): string =>
  hostname ?? (uts ? defaultHostname : joined.uts === undefined ? ownHostname() : 'localhost');

const namedHosts = (network: Spec['network']): string =>
  typeof network === 'object' ? network.hosts.map(([address, names]) => `${address} ${names}\n`).join('') : '';

// A shared network belongs to another sandbox; only the name servers of the option are known.
const namedServers = (network: Spec['network']): readonly string[] => (typeof network === 'object' ? (network.dns ?? []) : []);

const resolvConf = (resolvers: readonly string[]): string =>
  resolvers.length === 0 ? '# no network\n' : resolvers.map((address) => `nameserver ${address}\n`).join('');
