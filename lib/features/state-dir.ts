import { parseHostPath } from '../base/parse';
import { feature } from './feature';

export interface StateDirOptions {
  /**
   * Run by root: the directory for what sandboxes of this machine must know of each other, the lock of their host ids. It is made with mode 0700,
   * and must be root's and writable for nobody else. All processes that start sandboxes must name the same one: two sandboxes of two directories could
   * have the same id. Default `/run/nsjs`.
   */
  readonly stateDir?: string | URL;
}

export const defaultStateDir = '/run/nsjs';

export const stateDir = feature({
  key: 'stateDir',
  parse: (value = defaultStateDir, at): string => parseHostPath(value, at),
});

declare module './spec' {
  interface Spec {
    readonly stateDir: ReturnType<(typeof stateDir)['parse']>;
  }
}
