import { NsError } from '../../base/errors';
import { type Cidr, cidrsOverlap } from '../../base/ip';
import { decodeRoute } from '../../netlink/decode';
import { dumpRoutes } from '../../netlink/route';
import type { NetlinkSocket } from '../../sys/netlink-socket';

/** Candidates for a free subnet: 10.88.0.0/24 to 10.103.255.0/24. */
const freeSubnets = Array.from({ length: 4096 }, (_, index) => ({ address: `10.${88 + (index >> 8)}.${index & 255}.0`, prefix: 24 }));

const isSix = ({ address }: Cidr): boolean => address.includes(':');

function usedNetworks(route: NetlinkSocket): readonly Cidr[] {
  return (['inet', 'inet6'] as const)
    .flatMap((family) => route.get(dumpRoutes(family)))
    .flatMap((message) => decodeRoute(message) ?? [])
    .filter(({ destination, type }) => destination.prefix > 0 && type !== 'multicast' && !destination.address.startsWith('fe80'))
    .map(({ destination }) => destination);
}

/**
 * Returns an IPv4 subnet that overlaps with no route of the namespace and with none of `others`. Throws NsError
 * ERR_NSJS_NETWORK.
 */
export function freeSubnet(route: NetlinkSocket, others: readonly Cidr[]): Cidr {
  const used = [...usedNetworks(route), ...others].filter((one) => !isSix(one));
  const found = freeSubnets.find((subnet) => !used.some((one) => cidrsOverlap(one, subnet)));
  if (!found)
    throw new NsError('ERR_NSJS_NETWORK', 'no free subnet between 10.88.0.0/24 and 10.103.255.0/24', { hint: 'set the option subnet' });
  return found;
}

/** Throws NsError ERR_NSJS_NETWORK if a route of the namespace overlaps with one of the subnets. */
export function checkFree(route: NetlinkSocket, subnets: readonly Cidr[]): void {
  const used = usedNetworks(route);
  for (const subnet of subnets) {
    const taken = used.find((one) => isSix(one) === isSix(subnet) && cidrsOverlap(one, subnet));
    if (!taken) continue;
    const text = ({ address, prefix }: Cidr) => `${address}/${prefix}`;
    throw new NsError('ERR_NSJS_NETWORK', `subnet: ${text(subnet)} overlaps with the route to ${text(taken)} on this host`, {
      hint: 'choose another subnet, or omit the option',
    });
  }
}
