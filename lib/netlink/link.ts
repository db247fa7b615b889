import { attribute, type NetlinkMessage, netlinkFlags, u8, u16, u32, zeroEnded } from './message';

const types = { newLink: 16, deleteLink: 17, getLink: 18 } as const;
const { request, ack, create, exclusive, dump } = netlinkFlags;

// IFLA_*, rtnetlink(7) and linux/if_link.h
const ifla = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  info: 18,
  alias: 20,
  netNsFd: 28,
  extMask: 29,
} as const;
const info = { kind: 1, data: 2, slaveData: 5 } as const;
const vethPeer = 1;
const macvlanMode = 1;
const brportIsolated = 33;
const interfaceUp = 1;

/** Modes of macvlan, as ip-link(8) names them. */
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof macvlanModes;

/** Settings of an interface. */
export interface LinkSettings {
  /** 1 to 15 bytes. */
  readonly name?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** Hardware address: `02:00:00:00:00:01`. */
  readonly mac?: string;
  /** Descriptor of the network namespace in which to put the interface. */
  readonly netNsFd?: number;
}

/** struct ifinfomsg */
function head(index = 0, flags = 0, change = 0, family = 0): Buffer {
  return Buffer.concat([u8(family), u8(0), u16(0), u32(index), u32(flags), u32(change)]);
}

/** Returns the bytes of a hardware address such as `02:00:00:00:00:01`. */
export const macBytes = (mac: string): Buffer => Buffer.from(mac.split(':').map((byte) => Number.parseInt(byte, 16)));

const named = (name: string) => attribute(ifla.name, zeroEnded(name));

// The name comes last, as in the messages of ip(8).
const settings = ({ mtu, mac, netNsFd, name }: LinkSettings): readonly Buffer[] => [
  ...(mtu === undefined ? [] : [attribute(ifla.mtu, u32(mtu))]),
  ...(mac === undefined ? [] : [attribute(ifla.address, macBytes(mac))]),
  ...(netNsFd === undefined ? [] : [attribute(ifla.netNsFd, u32(netNsFd))]),
  ...(name === undefined ? [] : [named(name)]),
];

const kindOf = (kind: string, ...data: readonly Buffer[]) =>
  attribute(ifla.info, attribute(info.kind, Buffer.from(kind)), ...(data.length === 0 ? [] : [attribute(info.data, ...data)]));

const made = (...parts: readonly Buffer[]): NetlinkMessage => ({
  type: types.newLink,
  flags: request | ack | create | exclusive,
  payload: Buffer.concat([head(), ...parts]),
});

const changed = (index: number, ...parts: readonly Buffer[]): NetlinkMessage => ({
  type: types.newLink,
  flags: request | ack,
  payload: Buffer.concat([head(index), ...parts]),
});

/** Brings an interface up or down. The loopback interface always has index 1. */
export function setLinkUp(index: number, up = true): NetlinkMessage {
  const flags = up ? interfaceUp : 0;
  return { type: types.newLink, flags: request | ack, payload: head(index, flags, interfaceUp) };
}

/** Creates two connected interfaces, veth(4). With `peer.netNsFd`, the second one is created in another namespace. */
export function createVeth(own: LinkSettings, peer: LinkSettings): NetlinkMessage {
  return made(...settings(own), kindOf('veth', attribute(vethPeer, head(), ...settings(peer))));
}

/** Creates an interface of a kind that needs no other settings: `bridge`, `ifb`, `dummy`. */
export function createLink(kind: string, own: LinkSettings): NetlinkMessage {
  return made(...settings(own), kindOf(kind));
}

/**
 * Creates an interface with a hardware address of its own on the link of another interface, which has the index
 * `parent`.
 */
export function createMacvlan(parent: number, mode: MacvlanMode, own: LinkSettings): NetlinkMessage {
  return made(attribute(ifla.link, u32(parent)), ...settings(own), kindOf('macvlan', attribute(macvlanMode, u32(macvlanModes[mode]))));
}

/** Changes an interface: name, MTU, hardware address, namespace. */
export function changeLink(index: number, change: LinkSettings): NetlinkMessage {
  return changed(index, ...settings(change));
}

/** Makes an interface a port of a bridge; 0 removes it from its bridge. */
export function setMaster(index: number, master: number): NetlinkMessage {
  return changed(index, attribute(ifla.master, u32(master)));
}

/**
 * Sets whether a port of a bridge is isolated. An isolated port reaches only ports that are not, bridge(8), Linux 4.18.
 */
export function setIsolated(index: number, isolated: boolean): NetlinkMessage {
  const port = attribute(info.slaveData, attribute(brportIsolated, u8(isolated ? 1 : 0)));
  return changed(index, attribute(ifla.info, attribute(info.kind, Buffer.from('bridge_slave')), port));
}

/** Sets the alias of an interface, a text of up to 255 bytes. */
export function setAlias(index: number, alias: string): NetlinkMessage {
  return changed(index, attribute(ifla.alias, Buffer.from(alias)));
}

/**
 * Removes an interface. Removing a veth removes both ends and takes tens of ms. If the namespace is left instead, the
 * kernel removes it later.
 */
export function deleteLink(index: number): NetlinkMessage {
  return { type: types.deleteLink, flags: request | ack, payload: head(index) };
}

/** Requests every interface of the namespace. */
export function dumpLinks(): NetlinkMessage {
  return { type: types.getLink, flags: request | dump, payload: head() };
}

/** Requests one interface by its name. */
export function getLink(name: string): NetlinkMessage {
  return { type: types.getLink, flags: request, payload: Buffer.concat([head(), named(name)]) };
}
