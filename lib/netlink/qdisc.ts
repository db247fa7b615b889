import { attribute, type NetlinkMessage, netlinkFlags, u8, u16, u32, u64, zeroEnded } from './message';

const types = { newQdisc: 36, deleteQdisc: 37 } as const;
const root = 0xffffffff; // TC_H_ROOT
const tca = { kind: 1, options: 2 } as const;
const tbf = { parameters: 1, rate64: 4, burst: 6 } as const;
const ethernet = 1; // TC_LINKLAYER_ETHERNET
const { request, ack, create, exclusive } = netlinkFlags;
const maxRate = 0xffffffff;
const ticksPerMicrosecond = 15.625; // one tick is 64 ns

/** Limits of a token bucket, tbf(8). */
export interface TokenBucket {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may be sent in one burst; at least the MTU. */
  readonly burst: number;
  /** Maximum number of bytes in the queue; packets beyond it are dropped. */
  readonly limit: number;
}

/** struct tcmsg */
function head(index: number, handle: number, parent: number): Buffer {
  return Buffer.concat([u8(0), u8(0), u16(0), u32(index), u32(handle), u32(parent), u32(0)]);
}

/** struct tc_ratespec */
const rateSpec = (rate: number) => Buffer.concat([u8(0), u8(ethernet), u16(0), u16(0), u16(0), u32(Math.min(rate, maxRate))]);
const noRate = Buffer.alloc(12);

/**
 * Limits the rate at which an interface sends. The kernel computes with the rate itself, so no table of sizes is sent.
 */
export function addTokenBucket(index: number, { rate, burst, limit }: TokenBucket): NetlinkMessage {
  const ticks = Math.floor(Math.floor((burst / Math.min(rate, maxRate)) * 1e6) * ticksPerMicrosecond);
  const parameters = Buffer.concat([rateSpec(rate), noRate, u32(limit), u32(ticks), u32(0)]);
  const options = [
    attribute(tbf.parameters, parameters),
    attribute(tbf.burst, u32(burst)),
    ...(rate > maxRate ? [attribute(tbf.rate64, u64(BigInt(rate)))] : []),
  ];
  return {
    type: types.newQdisc,
    flags: request | ack | create | exclusive,
    payload: Buffer.concat([head(index, 0, root), attribute(tca.kind, zeroEnded('tbf')), attribute(tca.options, ...options)]),
  };
}

/** Removes the root queueing discipline of an interface. */
export function deleteRootQdisc(index: number): NetlinkMessage {
  return { type: types.deleteQdisc, flags: request | ack, payload: head(index, 0, root) };
}
