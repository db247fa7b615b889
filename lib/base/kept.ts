/** The functions that release what this process keeps for future sandboxes. */
const releases: (() => boolean)[] = [];

/**
 * Registers how something that is kept for future sandboxes is released. The function returns whether there was
 * anything to release.
 */
export function onRelease(release: () => boolean): void {
  releases.push(release);
}

/**
 * Releases all that this process keeps for future sandboxes: when descriptors run out, when the rights of this process
 * change, and in tests that count what is left. Returns whether there was anything to release.
 */
export function releaseKept(): boolean {
  return releases.map((release) => release()).includes(true);
}
