import { call } from './call';

/** Capability sets as bit masks, capabilities(7). */
export interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

const version3 = 0x20080522;

const header = (pid: number) => Int32Array.from([version3, pid]);

/** Returns the capability sets of a thread (0: the calling thread), capget(2). Throws SysError: ESRCH. */
export function capget(pid = 0): CapabilitySets {
  const words = new Uint32Array(6);
  call('capget', header(pid), words);
  const wide = (low: number, high: number) => BigInt(words[low] ?? 0) | (BigInt(words[high] ?? 0) << 32n);
  return { effective: wide(0, 3), permitted: wide(1, 4), inheritable: wide(2, 5) };
}

/**
 * Sets the capability sets of the calling thread, capset(2). Node's other threads keep theirs, so this does not confine
 * a Node process. Use it in single-purpose processes only. Throws SysError: EPERM.
 */
export function capset({ effective, permitted, inheritable }: CapabilitySets): void {
  const low = (set: bigint) => Number(set & 0xffffffffn);
  const high = (set: bigint) => Number(set >> 32n);
  const sets = [effective, permitted, inheritable];
  call('capset', header(0), Uint32Array.from([...sets.map(low), ...sets.map(high)]));
}
