import { parseBoolean } from '../base/parse';
import { feature } from './feature';

export interface NetlinkOptions {
  /**
   * Whether the program can create AF_NETLINK sockets of the routing protocol (NETLINK_ROUTE), which getifaddrs(3) and
   * `os.networkInterfaces()` need. Default false.
   */
  readonly netlink?: boolean;
}

export const netlink = feature({
  key: 'netlink',
  parse: (value = false, at): boolean => parseBoolean(value, at),
});

declare module './spec' {
  interface Spec {
    readonly netlink: ReturnType<(typeof netlink)['parse']>;
  }
}
