import { ipText } from '../base/ip';

// 198.18.0.0/15 is reserved for network benchmarks, RFC 2544. No host on the Internet has an address in it.
const first = 0xc6120000;
const size = 0x20000;
const reserved = 16;
/** Maximum number of names. Lookups of further names fail. */
const maxNames = 16_384;

/** Address of the resolver in resolv.conf. Queries to any other address are answered in the same way. */
export const resolverAddress = ipText(bytesOf(first + 1));
/** Network of the addresses that represent names. */
export const namesCidr = { address: ipText(bytesOf(first)), prefix: 15 } as const;

function bytesOf(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** Whether an address is in the network of addresses that represent names. */
export function isNameAddress(address: string): boolean {
  return address.startsWith('198.18.') || address.startsWith('198.19.');
}

/**
 * Assigns an address to each name that a sandbox looks up. A connection to that address is a connection to that name.
 * Names of servers that share an address stay distinct, and no program learns an outside address.
 */
export class NameBook {
  private readonly byName = new Map<string, string>();
  private readonly byAddress = new Map<string, string>();

  /** Returns the address of a name and assigns one if it has none; undefined if there are too many names. */
  addressOf(name: string): string | undefined {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    if (this.byName.size >= Math.min(maxNames, size - reserved)) return undefined;
    const address = ipText(bytesOf(first + reserved + this.byName.size));
    this.byName.set(name, address);
    this.byAddress.set(address, name);
    return address;
  }

  nameOf(address: string): string | undefined {
    return this.byAddress.get(address);
  }
}
