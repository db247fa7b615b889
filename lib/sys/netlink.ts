/**
 * Pure functions that encode and decode messages of rtnetlink(7) and nftables, and a socket that sends them, in this
 * process's network namespace or in another. The messages are those that ip(8), tc(8) and nft(8) send.
 */
export { type AddressFact, decodeAddress, decodeLink, decodeRoute, type LinkFact, type RouteFact } from '../netlink/decode';
export * from '../netlink/expressions';
export {
  changeLink,
  createLink,
  createMacvlan,
  createVeth,
  deleteLink,
  dumpLinks,
  getLink,
  type LinkSettings,
  type MacvlanMode,
  setAlias,
  setIsolated,
  setLinkUp,
  setMaster,
} from '../netlink/link';
export {
  type Acknowledgement,
  attribute,
  controlTypes,
  decodeAcknowledgement,
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  netlinkFlags,
  netlinkProtocols,
  type ReceivedMessage,
} from '../netlink/message';
export {
  addElements,
  type ChainHook,
  deleteTable,
  dumpRules,
  dumpTables,
  encodeBatch,
  type NftSet,
  newChain,
  newRule,
  newSet,
  newTable,
  type SetElement,
  type SetType,
  type TableFamily,
  type TableName,
  tableName,
} from '../netlink/nftables';
export { addTokenBucket, deleteRootQdisc, type TokenBucket } from '../netlink/qdisc';
export {
  addAddress,
  addNeighbour,
  addRoute,
  addRule,
  deleteAddress,
  deleteRoute,
  deleteRule,
  dumpAddresses,
  dumpRoutes,
  type Route,
  type RoutingRule,
  replaceRoute,
} from '../netlink/route';
export { NetlinkSocket, type PreparedBatch, prepareBatch } from './netlink-socket';
