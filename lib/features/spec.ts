/**
 * The options of a sandbox, parsed: complete, checked, frozen. Each feature adds what its option is parsed to, in its own file, so that it can
 * read what the others are without importing them.
 */
// biome-ignore lint/suspicious/noEmptyInterface: the features add its properties.
export interface Spec {}
