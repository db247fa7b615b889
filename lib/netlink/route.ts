/** Netlink protocol number of routing messages, rtnetlink(7). */
export const netlinkRoute = 0;

const newLink = 16; // RTM_NEWLINK
const requestAndAck = 0x1 | 0x4; // NLM_F_REQUEST | NLM_F_ACK
const interfaceUp = 0x1; // IFF_UP
const headerSize = 16;
const linkSize = 16;

/** The request that brings an interface up, rtnetlink(7). The loopback interface always has index 1. */
export function linkUp(index: number): Uint8Array {
  const message = Buffer.alloc(headerSize + linkSize);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(newLink, 4);
  message.writeUInt16LE(requestAndAck, 6);
  message.writeInt32LE(index, headerSize + 4);
  message.writeUInt32LE(interfaceUp, headerSize + 8);
  message.writeUInt32LE(interfaceUp, headerSize + 12);
  return message;
}
