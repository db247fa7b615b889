import { OptionError } from '../errors';
import { linkUp, netlinkRoute } from '../netlink/route';
import { parseOneOf } from '../parse';
import { feature, type Scene } from './feature';
import type { Spec } from './index';
import { cloneFlags } from './namespaces';

export interface NetworkOptions {
  /**
   * `'none'` (default): a network namespace of its own with nothing but a loopback interface that is up.
   * `'host'`: the host's network, network_namespaces(7).
   */
  readonly network?: 'none' | 'host';
}

const loopback = 1;

/**
 * A network namespace is the dearest of all: of a single program its own process makes it, beside init's work, and init
 * enters it when both are done.
 */
export const isNetBeside = (spec: Spec, scene: Scene): boolean => spec.namespaces.net && isBeside(spec, scene);

/** Whether the program's process is forked early. In a user namespace that is shared init must first make one below it. */
export const isBeside = ({ namespaces }: Spec, { kind }: Scene): boolean => kind === 'run' && namespaces.joined.user === undefined;

export const network = feature({
  key: 'network',
  parse: (value, at): 'none' | 'host' | undefined => (value === undefined ? undefined : parseOneOf(value, at, ['none', 'host'])),
  emit(plan, spec, scene) {
    const { network: mode, namespaces } = spec;
    if (mode === 'none' && !namespaces.net) throw new OptionError('network', "'none' needs a net namespace of its own");
    if (!namespaces.net) return;
    const section = isNetBeside(spec, scene) ? 'beside' : 'inside';
    if (section === 'beside') plan.op('beside', 'namespaces', 'Unshare', cloneFlags.net);
    plan.op(section, 'network', 'Netlink', netlinkRoute, linkUp(loopback));
  },
});
