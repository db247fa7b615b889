import { mkdirSync, statSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

interface CacheModule {
  readonly enableCompileCache?: (directory: string) => unknown;
}

/**
 * Lets Node keep the compiled code of nsjs, so that the command starts faster the next time (`enableCompileCache()` of
 * node:module, Node 22.1). Node executes what it finds there. So the cache is used only in directories that belong to
 * this user and that nobody else can write; the default of Node, a directory in /tmp, is not one.
 */
export function useCompileCache(): void {
  const { enableCompileCache } = nodeModule as CacheModule;
  if (enableCompileCache === undefined) return;
  try {
    const parent = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
    const directory = join(parent, 'nsjs');
    if (!isPrivate(parent)) return;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (isPrivate(directory)) enableCompileCache(directory);
  } catch {
    // Without a cache the command does the same, more slowly.
  }
}

function isPrivate(directory: string): boolean {
  const found = statSync(directory, { throwIfNoEntry: false });
  return found?.uid === process.geteuid?.() && ((found?.mode ?? 0o777) & 0o022) === 0;
}
