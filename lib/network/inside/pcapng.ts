// Blocks and options of the format, draft-ietf-opsawg-pcapng.
const blocks = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const byteOrder = 0x1a2b3c4d;
const ethernet = 1; // LINKTYPE_ETHERNET
const options = { end: 0, application: 4, name: 2, resolution: 9 } as const;
const nanoseconds = 9;

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, index * 4);
  return bytes;
}

function option(code: number, value: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

function block(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const size = body.length + 12;
  return Buffer.concat([words(type, size), body, words(size)]);
}

/** Encodes the section header block, which begins a file. */
export function sectionHeader(application: string): Buffer {
  const unknown = words(0xffffffff, 0xffffffff);
  return block(blocks.section, words(byteOrder, 1), unknown, option(options.application, Buffer.from(application)), words(options.end));
}

/**
 * Encodes an interface description block. Packets refer to interfaces by the number of this block, counted from 0.
 * `snapLength`: maximum number of bytes of each packet.
 */
export function interfaceDescription(name: string, snapLength: number): Buffer {
  const resolution = option(options.resolution, Buffer.from([nanoseconds]));
  return block(blocks.interface, words(ethernet, snapLength), option(options.name, Buffer.from(name)), resolution, words(options.end));
}

/**
 * Encodes an enhanced packet block. `time`: nanoseconds since the epoch. `length`: size of the packet before
 * truncation.
 */
export function enhancedPacket(index: number, time: bigint, length: number, bytes: Uint8Array): Buffer {
  const high = Number(time >> 32n);
  const low = Number(time & 0xffffffffn);
  return block(blocks.packet, words(index, high, low, bytes.length, length), padded(bytes));
}
