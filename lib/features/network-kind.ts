import type { Context } from './feature';
import type { Spec } from './spec';

type NetworkSpec = Extract<Spec['network'], object>;

/**
 * Returns whether the program's own process creates the network namespace. This is the slowest step. For a one-shot run
 * that process does it while init works; init then joins the namespace.
 */
export const isNetBeside = (spec: Spec, context: Context): boolean =>
  spec.namespaces.net && context.spareNet === undefined && isBeside(spec, context);

/**
 * Returns whether the sandbox can use a network namespace that this process has created earlier and owns. It makes no
 * difference if nothing inside has rights over the network or sees the files through which the network could be
 * changed.
 */
export const mayBeSpare = ({ namespaces, network: mode, capabilities, proc, root, user }: Spec): boolean =>
  namespaces.user &&
  namespaces.net &&
  (mode === undefined || mode === 'none') &&
  user.ids === 'one' &&
  user.inner &&
  Object.values(capabilities).every((set) => set.length === 0) &&
  root !== 'host' &&
  proc !== 'full' &&
  proc !== 'masked';

/**
 * Returns whether the program's process is forked early. In a joined user namespace init must first create a user
 * namespace below it.
 */
export const isBeside = ({ namespaces }: Spec, { kind }: Context): boolean => kind === 'run' && namespaces.joined.user === undefined;

/** Returns whether a network namespace is created and set up for the sandbox before it starts. */
export const isSetUp = (network: Spec['network']): network is NetworkSpec => typeof network === 'object' && network.share === undefined;

/** Returns whether the sandbox has a network namespace of its own. */
export const hasOwnNetwork = ({ network, namespaces }: Spec): boolean => namespaces.net || isSetUp(network);
