import { NsError } from '../base/errors';
import { type Cidr, cidrContains, ipBytes, ipText, networkBytes } from '../base/ip';

const maxLeases = 65_536;

/**
 * The addresses of one subnet. The first one is the gateway. The others are assigned in rotation, so that a released
 * address is not reused soon.
 */
export class AddressPool {
  readonly gateway: string;
  private readonly taken = new Set<string>();
  private readonly size: number;
  private next = 2;

  constructor(readonly subnet: Cidr) {
    const bits = ipBytes(subnet.address).length * 8 - subnet.prefix;
    // The last IPv4 address is the broadcast address.
    this.size = Math.min(2 ** bits - (bits <= 32 ? 1 : 0), maxLeases);
    this.gateway = this.at(1);
    this.taken.add(this.gateway);
  }

  /** Takes the given address, or the next free one. Throws NsError ERR_NSJS_NETWORK. */
  take(wanted?: string): string {
    if (wanted !== undefined) {
      if (!cidrContains(this.subnet, wanted)) throw this.error(`${wanted} is not in this subnet`);
      if (this.taken.has(wanted)) throw this.error(`${wanted} is already in use`);
      this.taken.add(wanted);
      return wanted;
    }
    for (let count = 0; count < this.size; count++) {
      const address = this.at(this.next);
      this.next = this.next + 1 < this.size ? this.next + 1 : 2;
      if (this.taken.has(address)) continue;
      this.taken.add(address);
      return address;
    }
    throw this.error('no free address is left');
  }

  give(address: string): void {
    if (address !== this.gateway) this.taken.delete(address);
  }

  private at(index: number): string {
    const bytes = networkBytes(this.subnet);
    let rest = index;
    for (let at = bytes.length - 1; rest > 0; at--) {
      rest += bytes[at] ?? 0;
      bytes[at] = rest & 0xff;
      rest = Math.floor(rest / 256);
    }
    return ipText(bytes);
  }

  private error(why: string): NsError {
    return new NsError('ERR_NSJS_NETWORK', `${this.subnet.address}/${this.subnet.prefix}: ${why}`);
  }
}
