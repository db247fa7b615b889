// Takes the place of lib/base/package-root in unit tests, which do not run the files in dist/chunks.
import { join } from 'node:path';

export const packageRoot = join(__dirname, '..', '..');
export const shipped = { filters: (arch: string) => join(packageRoot, 'dist', 'filters', `${arch}.json`) };
