// npm runs this after `npm ci` in a checkout, and before it packs a dependency from git. It builds what is missing for
// this architecture. In a checkout the loader prefers build/Release, so the copy in prebuilds/ is only for packing.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

const prebuilt = `prebuilds/linux-${process.arch}/nsjs.node`;

// Elsewhere nothing can be built, but the checkout of a contributor has its tools.
if (process.platform === 'linux') {
  const { status } = spawnSync(process.execPath, ['scripts/build/all.mjs', 'native', 'library'], { stdio: ['ignore', 2, 'inherit'] });
  if (status !== 0) {
    console.error('nsjs: building from source needs Python 3, make and g++ (apt-get install python3 make g++)');
    process.exit(1);
  }
  if (!existsSync(prebuilt)) {
    mkdirSync(dirname(prebuilt), { recursive: true });
    copyFileSync('build/Release/nsjs.node', prebuilt);
  }
}
