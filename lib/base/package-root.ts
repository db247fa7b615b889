import { join, normalize } from 'node:path';

/** The directory of this package. The modules of lib are shipped in files of dist/chunks. */
export const packageRoot = join(__dirname, '..', '..');

/**
 * Whether this module was made part of another file. Its paths then lead into directories that are not of nsjs, and
 * that others may be able to write: nothing is read or loaded there.
 */
export const isBundled = !__dirname.endsWith('/dist/chunks');

/**
 * Files that nsjs reads or starts by their paths. Each path is one template with `__dirname`: tools that copy only the
 * files that a program needs (@vercel/nft) evaluate these, but no calls.
 */
export const shipped = {
  localAddon: normalize(`${__dirname}/../../build/Release/nsjs.node`),
  addon: (arch: string) => normalize(`${__dirname}/../../prebuilds/linux-${arch}/nsjs.node`),
  filters: (arch: string) => normalize(`${__dirname}/../filters/${arch}.json`),
  egressWorker: normalize(`${__dirname}/../egress/worker.js`),
  heldWorker: normalize(`${__dirname}/../monitor/held-worker.js`),
  unpacker: normalize(`${__dirname}/../oci/unpack-main.js`),
};
