export * from './netlink.js';
