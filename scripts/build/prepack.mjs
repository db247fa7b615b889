// npm runs this before `npm pack` and `npm publish`: builds the library, the prebuilds of both architectures, and the
// SBOM. Each of them is made anew, so that nothing of an earlier build is published; prebuild.mjs checks its files.
import { spawnSync } from 'node:child_process';

for (const args of [['scripts/build/all.mjs', 'library'], ['scripts/build/prebuild.mjs'], ['scripts/build/sbom.mjs']]) {
  // stdout belongs to `npm pack --json`.
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 'inherit'] });
  if (status !== 0) {
    console.error('nsjs: packing stopped: see the message above');
    process.exit(1);
  }
}
