import { parseHostPath } from '../base/parse';
import { feature } from './feature';

export interface LauncherPathOptions {
  /**
   * Path of the launcher as a file on the host, for hosts that forbid executing a memfd (`vm.memfd_noexec` = 2,
   * memfd_create(2)). The file must be identical to the launcher embedded in the addon. `nsjs launcher > FILE` writes
   * it.
   */
  readonly launcherPath?: string | URL;
}

export const launcherPath = feature({
  key: 'launcherPath',
  parse: (value, at): string | undefined => (value === undefined ? undefined : parseHostPath(value, at)),
});

declare module './spec' {
  interface Spec {
    readonly launcherPath: ReturnType<(typeof launcherPath)['parse']>;
  }
}
