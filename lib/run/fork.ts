import { nodeProgram } from '../base/node-program';
import { parseArray, parseHostPath } from '../base/parse';
import type { Mount } from '../features/root/mounts';
import { readSpawnOptions } from '../options/options';
import { spawnIsolated } from './spawn';
import type { IsolatedProcess, SpawnOptions } from './types';

/**
 * Runs a JavaScript file with this Node in a sandbox, with a JSON channel as in child_process.fork: `process.send` and
 * `'message'` work inside. Uses the preset `node`. Only the file itself is visible inside, at its own path; add the
 * modules that it requires to `mounts`.
 */
export function forkIsolated(modulePath: string | URL, args?: readonly string[], options?: SpawnOptions): IsolatedProcess {
  const file = parseHostPath(modulePath, 'modulePath');
  const node = nodeProgram('fork');
  const own = { type: 'bind', source: file } as const;
  const rest = args === undefined ? [] : parseArray(args, 'args').map(String);
  const given = readSpawnOptions(options) as SpawnOptions;
  if (given.sandbox !== undefined) return spawnIsolated(node, [file, ...rest], { ipc: 'json', ...given }) as IsolatedProcess;
  return spawnIsolated(node, [file, ...rest], {
    preset: 'node',
    ipc: 'json',
    ...given,
    mounts: [own, ...((given.mounts === undefined ? [] : parseArray(given.mounts, 'mounts')) as readonly Mount[])],
  }) as IsolatedProcess;
}
