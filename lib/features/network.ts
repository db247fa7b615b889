import { OptionError } from '../errors';
import { linkUp, netlinkRoute } from '../netlink/route';
import { parseOneOf } from '../parse';
import { feature } from './feature';

export interface NetworkOptions {
  /**
   * `'none'` (default): a network namespace of its own with nothing but a loopback interface that is up.
   * `'host'`: the host's network, network_namespaces(7).
   */
  readonly network?: 'none' | 'host';
}

const loopback = 1;

export const network = feature({
  key: 'network',
  parse: (value, at): 'none' | 'host' | undefined => (value === undefined ? undefined : parseOneOf(value, at, ['none', 'host'])),
  emit(plan, { network: mode, namespaces }) {
    if (mode === 'none' && !namespaces.net) throw new OptionError('network', "'none' needs a net namespace of its own");
    if (namespaces.net) plan.op('inside', 'network', 'Netlink', netlinkRoute, linkUp(loopback));
  },
});
