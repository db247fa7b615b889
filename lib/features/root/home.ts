/** The home directory of a `system` root. */
export const homeDirectory = '/home/sandbox';
/** Name of the program's user and group in its own /etc/passwd. */
export const userName = 'sandbox';
