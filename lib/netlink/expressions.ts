import { bare } from '../base/parse';
import { attribute, be16, be32, be64, nested, zeroEnded } from './message';

/**
 * One step of a rule: it loads or compares data, or decides on the packet. `nft --debug=netlink` prints these steps.
 */
export type Expression = Buffer;

const exprAttributes = { name: 1, data: 2 } as const;
const dataAttributes = { value: 1, verdict: 2 } as const;

/** Registers of 16 bytes. Register 0 holds the verdict. */
export type Register = 1 | 2 | 3 | 4;

function expression(name: string, ...attributes: readonly Buffer[]): Expression {
  return Buffer.concat([attribute(exprAttributes.name, zeroEnded(name)), attribute(exprAttributes.data | nested, ...attributes)]);
}

const value = (type: number, bytes: Uint8Array) => attribute(type | nested, attribute(dataAttributes.value, bytes));

const metaKeys = { mark: 3, iif: 4, oif: 5, iifname: 6, oifname: 7, skuid: 10, nfproto: 15, l4proto: 16 } as const;

/** Loads metadata of the packet that is not part of it, such as `iif` or `l4proto`. */
export function meta(key: keyof typeof metaKeys, register: Register = 1): Expression {
  return expression('meta', attribute(2, be32(metaKeys[key])), attribute(1, be32(register)));
}

const operators = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;

/** Continues only if the comparison of the register with the bytes is true. */
export function cmp(operator: keyof typeof operators, bytes: Uint8Array, register: Register = 1): Expression {
  return expression('cmp', attribute(1, be32(register)), attribute(2, be32(operators[operator])), value(3, bytes));
}

const bases = { link: 0, network: 1, transport: 2 } as const;

/** Loads bytes of the packet, from the start of a header. */
export function payload(base: keyof typeof bases, offset: number, length: number, register: Register = 1): Expression {
  return expression(
    'payload',
    attribute(1, be32(register)),
    attribute(2, be32(bases[base])),
    attribute(3, be32(offset)),
    attribute(4, be32(length)),
  );
}

/** register = (register & mask) ^ xor */
export function bitwise(mask: Uint8Array, xor: Uint8Array, register: Register = 1): Expression {
  return expression(
    'bitwise',
    attribute(1, be32(register)),
    attribute(2, be32(register)),
    attribute(3, be32(mask.length)),
    value(4, mask),
    value(5, xor),
  );
}

/** Loads constant bytes. */
export function immediate(register: Register, bytes: Uint8Array): Expression {
  return expression('immediate', attribute(1, be32(register)), value(2, bytes));
}

const verdicts = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** Decides on the packet. */
export function verdict(kind: 'drop' | 'accept' | 'return'): Expression;
export function verdict(kind: 'jump' | 'goto', chain: string): Expression;
export function verdict(kind: keyof typeof verdicts, chain?: string): Expression {
  const target = chain === undefined ? [] : [attribute(2, zeroEnded(chain))];
  const code = attribute(dataAttributes.verdict | nested, attribute(1, be32(verdicts[kind])), ...target);
  return expression('immediate', attribute(1, be32(0)), attribute(2 | nested, code));
}

/**
 * Loads the type of the route to the packet's destination, or to its source; type 2 is an address of this namespace.
 */
export function fibType(address: 'source' | 'destination', register: Register = 1): Expression {
  const flag = address === 'source' ? 1 : 2;
  return expression('fib', attribute(3, be32(flag)), attribute(2, be32(3)), attribute(1, be32(register)));
}

const ctKeys = { state: 0, direction: 1, status: 2 } as const;

/** Loads a property of the packet's connection from connection tracking. */
export function ct(key: keyof typeof ctKeys, register: Register = 1): Expression {
  return expression('ct', attribute(2, be32(ctKeys[key])), attribute(1, be32(register)));
}

/** Continues only if the set contains the value of the register; with `inverted`, only if it does not. */
export function lookup(
  set: string,
  options: { readonly register?: Register; readonly id?: number; readonly inverted?: boolean } = {},
): Expression {
  const { register = 1, id, inverted } = bare({ ...options });
  return expression(
    'lookup',
    attribute(2, be32(register)),
    attribute(1, zeroEnded(set)),
    ...(id === undefined ? [] : [attribute(4, be32(id))]),
    ...(inverted ? [attribute(5, be32(1))] : []),
  );
}

/** Rewrites the destination or source of a packet. The address is in one register, the port in another. */
export function nat(kind: 'snat' | 'dnat', family: 'inet' | 'inet6', address: Register, port?: Register): Expression {
  return expression(
    'nat',
    attribute(1, be32(kind === 'snat' ? 0 : 1)),
    attribute(2, be32(family === 'inet' ? 2 : 10)),
    attribute(3, be32(address)),
    ...(port === undefined ? [] : [attribute(5, be32(port))]),
    ...(port === undefined ? [] : [attribute(7, be32(2))]),
  );
}

/** Rewrites the source of the packet to the address of the interface through which it leaves. */
export const masquerade = (): Expression => expression('masq');

/** Redirects the packet to this namespace, to the port in the register. */
export const redirect = (port: Register): Expression => expression('redir', attribute(1, be32(port)), attribute(3, be32(2)));

/** Delivers the packet, unchanged, to a transparent socket at the address and port in the registers. Linux 4.19. */
export function tproxy(family: 'inet' | 'inet6', address: Register, port: Register): Expression {
  return expression('tproxy', attribute(1, be32(family === 'inet' ? 2 : 10)), attribute(2, be32(address)), attribute(3, be32(port)));
}

/** Rejects the packet and notifies the sender immediately, by a TCP reset or an ICMP error. */
export function reject(how: 'tcp-reset' | 'port-unreachable' | 'admin-prohibited'): Expression {
  const codes = { 'tcp-reset': [1, 0], 'port-unreachable': [2, 1], 'admin-prohibited': [2, 3] } as const;
  const [type, code] = codes[how];
  return expression('reject', attribute(1, be32(type)), attribute(2, Buffer.from([code])));
}

const units = { second: 1n, minute: 60n, hour: 3600n } as const;

/** Continues at most `rate` times per unit of time; with `over`, only beyond that rate. */
export function limit(rate: number, unit: keyof typeof units, burst = 5, over = false): Expression {
  return expression(
    'limit',
    attribute(1, be64(BigInt(rate))),
    attribute(2, be64(units[unit])),
    attribute(3, be32(burst)),
    attribute(4, be32(0)),
    attribute(5, be32(over ? 1 : 0)),
  );
}

/** Continues until `bytes` bytes have passed; with `over`, only after that. */
export function quota(bytes: number, over = false): Expression {
  return expression('quota', attribute(1, be64(BigInt(bytes))), attribute(4, be64(0n)), attribute(2, be32(over ? 1 : 0)));
}

/** Counts packets and bytes. */
export const counter = (): Expression => expression('counter');

/** Sends the packet to the netlink socket that listens to the group. */
export function log(group: number, prefix?: string): Expression {
  return expression('log', ...(prefix === undefined ? [] : [attribute(2, zeroEnded(prefix))]), attribute(1, be16(group)));
}
