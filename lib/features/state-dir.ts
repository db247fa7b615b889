import { parseHostPath } from '../base/parse';
import { feature } from './feature';

export interface StateDirOptions {
  /**
   * Used only when root runs nsjs: the directory with the state that the sandboxes of this machine share, which is the
   * lock of their host ids. It is created with mode 0700. It must belong to root and be writable by nobody else. All
   * processes that start sandboxes must use the same directory: sandboxes with different ones could get the same id.
   * Default `/run/nsjs`.
   */
  readonly stateDir?: string | URL;
}

const defaultStateDir = '/run/nsjs';

export const stateDir = feature({
  key: 'stateDir',
  parse: (value = defaultStateDir, at): string => parseHostPath(value, at),
});

declare module './spec' {
  interface Spec {
    readonly stateDir: ReturnType<(typeof stateDir)['parse']>;
  }
}
