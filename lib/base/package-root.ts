import { join } from 'node:path';

/** The directory of this package. The modules of lib are shipped in files of dist/chunks. */
export const packageRoot = join(__dirname, '..', '..');
