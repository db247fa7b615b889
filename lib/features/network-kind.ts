import type { Scene } from './feature';
import type { Spec } from './spec';

type NetworkSpec = Extract<Spec['network'], object>;

/**
 * Creating a network namespace is the slowest step. For a one-shot run the program's own process creates it while init works; init then
 * joins it.
 */
export const isNetBeside = (spec: Spec, scene: Scene): boolean =>
  spec.namespaces.net && scene.spareNet === undefined && isBeside(spec, scene);

/**
 * Whether it may be one that this process has made before, and owns: where nobody inside has rights over the network, nor sees the files by
 * which it could be changed, there is no difference.
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

/** Whether the program's process is forked early. In a user namespace that is shared init must first make one below it. */
export const isBeside = ({ namespaces }: Spec, { kind }: Scene): boolean => kind === 'run' && namespaces.joined.user === undefined;

/** Whether a network namespace is made for it before it starts. */
export const isSetUp = (network: Spec['network']): network is NetworkSpec => typeof network === 'object' && network.share === undefined;

/** Whether its network is not one that others have too. */
export const hasOwnNetwork = ({ network, namespaces }: Spec): boolean => namespaces.net || isSetUp(network);

// The type is written out: what it looks at refers to it in turn.
