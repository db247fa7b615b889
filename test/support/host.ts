// Helpers that need no sandbox. Tests that use these alone do not load the library.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Returns the error that a function throws. */
export function thrown(act: () => unknown): Error & Record<string, unknown> {
  try {
    act();
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('expected an exception');
}

/** Creates a temporary directory on the host. `remove` deletes it. */
export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'nsjs-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
