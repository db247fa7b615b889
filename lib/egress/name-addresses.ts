import { ipText } from '../base/ip';

// 198.18.0.0/15 is for tests of networks, RFC 2544: nobody has it, so nobody misses it.
const first = 0xc6120000;
const size = 0x20000;
const reserved = 16;
/** So many names at most: past them a program learns no more. */
const maxNames = 16_384;

/** The address that resolv.conf names; any other is answered the same. */
export const resolverAddress = ipText(bytesOf(first + 1));
/** All of the addresses that stand for names. */
export const namesCidr = { address: ipText(bytesOf(first)), prefix: 15 } as const;

function bytesOf(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** Whether an address stands for a name. */
export function isNameAddress(address: string): boolean {
  return address.startsWith('198.18.') || address.startsWith('198.19.');
}

/**
 * Names of one sandbox, each with an address of its own: whoever connects to it asks for that name. What several
 * servers share by address stays apart, and no program learns an address of the outside.
 */
export class NameBook {
  private readonly byName = new Map<string, string>();
  private readonly byAddress = new Map<string, string>();

  /** The address of a name; undefined once there are too many. */
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
