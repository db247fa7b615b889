import { attribute, be16, be32, decodeAttributes, type NetlinkMessage, netlinkFlags, u8 } from './message';

const subsystem = 4; // NFNL_SUBSYS_ULOG
const types = { packet: 0, config: 1 } as const;
const config = { command: 1, mode: 2, timeout: 4, threshold: 5 } as const;
const bind = 1;
const copyPacket = 2;
const payloadAttribute = 9;

/** Subscribes to the packets of a group of `log` rules: `bytes` bytes of each packet, delivered immediately. */
export function bindPacketLog(group: number, bytes: number): readonly NetlinkMessage[] {
  const message = (...attributes: readonly Buffer[]): NetlinkMessage => ({
    type: (subsystem << 8) | types.config,
    flags: netlinkFlags.request | netlinkFlags.ack,
    payload: Buffer.concat([u8(0), u8(0), be16(group), ...attributes]),
  });
  return [
    message(attribute(config.command, u8(bind))),
    message(
      attribute(config.mode, be32(bytes), u8(copyPacket), u8(0)),
      attribute(config.threshold, be32(1)),
      attribute(config.timeout, be32(1)),
    ),
  ];
}

/** Protocol, source and destination of a packet. */
export interface LoggedPacket {
  readonly protocol: 'tcp' | 'udp' | 'other';
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly sourcePort: number;
  readonly port: number;
}

/** Decodes a logged packet; undefined for other messages. */
export function decodeLoggedPacket({ type, payload }: NetlinkMessage): LoggedPacket | undefined {
  if (type !== ((subsystem << 8) | types.packet)) return undefined;
  const packet = decodeAttributes(payload.subarray(4)).get(payloadAttribute);
  if (!packet || packet.length < 20) return undefined;
  const isSix = (packet[0] ?? 0) >> 4 === 6;
  const header = isSix ? 40 : ((packet[0] ?? 0) & 0xf) * 4;
  if (packet.length < header + 4) return undefined;
  const number = isSix ? packet[6] : packet[9];
  return {
    protocol: number === 6 ? 'tcp' : number === 17 ? 'udp' : 'other',
    source: isSix ? packet.subarray(8, 24) : packet.subarray(12, 16),
    destination: isSix ? packet.subarray(24, 40) : packet.subarray(16, 20),
    sourcePort: packet.readUInt16BE(header),
    port: packet.readUInt16BE(header + 2),
  };
}
