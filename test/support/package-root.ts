// Takes the place of lib/base/package-root in unit tests, which do not run the files in dist/chunks.
import { join } from 'node:path';

export const isBundled = false;
export const packageRoot = join(__dirname, '..', '..');

const inPackage = (...names: readonly string[]) => join(packageRoot, ...names);

export const shipped = {
  localAddon: inPackage('build/Release/nsjs.node'),
  addon: (arch: string) => inPackage(`prebuilds/linux-${arch}/nsjs.node`),
  filters: (arch: string) => inPackage(`dist/filters/${arch}.json`),
};
