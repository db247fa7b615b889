/**
 * The parsed options of a sandbox: complete, checked, frozen. Each feature adds the parsed form of its option in its
 * own file, so that it can read those of the others without importing them.
 */
// biome-ignore lint/suspicious/noEmptyInterface: the features add its properties.
export interface Spec {}
