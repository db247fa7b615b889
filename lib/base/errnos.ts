import { constants } from 'node:os';

/** The numbers of errno(3) by name, as this machine has them. */
export const errnos = constants.errno;
