import { errnos } from '../../base/errnos';
import { OptionError, SysError } from '../../base/errors';
import { type Bytes, parseArray, parseBoolean, parseBytes, parseHostPath, parseInteger, parseObject } from '../../base/parse';
import type { Slot } from '../../plan/operation';
import type { PlanWriter } from '../../plan/writer';
import type { Context } from '../feature';
import { bindHost, mountAttr, newFs, statSource } from './mount-ops';
import { stageOf } from './stage';

/** Directories that are combined into one: writes go to `upper`, the others stay unchanged (overlayfs, Linux 5.11). */
export interface OverlayOptions {
  /** Directories of the host, topmost first. */
  readonly lower: string | URL | readonly (string | URL)[];
  /**
   * Place for the changes. With `'memory'` (default), they are limited by `size` in bytes (default 64 MiB) and `inodes`
   * (default 16,384), and disappear with the sandbox. A directory of the host keeps them in its subdirectory `upper`;
   * only the caller may have access to the directory (mode 0700).
   */
  readonly upper?: 'memory' | (string & {}) | URL;
  readonly size?: Bytes;
  readonly inodes?: number;
  /**
   * Follows symbolic links in `lower` and `upper` that are not part of the system; see the mount of type `bind`.
   * Default false: such a link is an error.
   */
  readonly followLinks?: boolean;
}

export interface OverlaySpec {
  readonly lower: readonly string[];
  readonly upper: string;
  readonly size: number;
  readonly inodes: number;
  readonly followLinks: boolean;
}

export const overlayKeys = ['lower', 'upper', 'size', 'inodes', 'followLinks'] as const;
const defaultSize = 64 * 2 ** 20;
const defaultInodes = 16_384;
const maxLower = 100;
/** Directories below the one that takes changes. */
const overlayDirectories = { upper: '/upper', work: '/work' } as const;

export function parseOverlay(value: unknown, at: string): OverlaySpec {
  const { lower, upper = 'memory', size, inodes, followLinks } = parseObject(value, at, overlayKeys);
  const list = Array.isArray(lower) ? parseArray(lower, `${at}.lower`) : [lower];
  if (list.length === 0 || list.length > maxLower)
    throw new OptionError(`${at}.lower`, `expected 1 to ${maxLower} directories, received ${list.length}`);
  if (upper !== 'memory' && (size ?? inodes) !== undefined)
    throw new OptionError(`${at}.size`, "limits only upper: 'memory': the size of a directory is limited by its file system");
  return {
    lower: list.map((entry, index) => parseHostPath(entry, Array.isArray(lower) ? `${at}.lower[${index}]` : `${at}.lower`)),
    upper: upper === 'memory' ? upper : parseHostPath(upper, `${at}.upper`),
    size: size === undefined ? defaultSize : parseBytes(size, `${at}.size`, 4096),
    inodes: inodes === undefined ? defaultInodes : parseInteger(inodes, `${at}.inodes`, 16, 2 ** 31),
    followLinks: followLinks === undefined ? false : parseBoolean(followLinks, `${at}.followLinks`),
  };
}

/** Returns the key of the slot that holds an overlay's changes, in its directory `upper`. */
export const upperKey = (origin: string): string => `upper of ${origin}`;

/** Emits the operations that create an overlay and returns its slot. */
export function emitOverlay(
  plan: PlanWriter,
  overlay: OverlaySpec,
  origin: string,
  context: Context,
  slot: Slot = plan.slot(origin),
): Slot {
  const stage = stageOf(plan, 'own');
  const layers = overlay.lower.map((source, index) => {
    const layer = bindHost(plan, context, { origin, source, readonly: true, owned: true, alone: true, followLinks: overlay.followLinks });
    if (statSource(source, origin).kind !== 'dir') throw new OptionError(`${origin}.lower[${index}]`, `is not a directory: ${source}`);
    return attach(plan, stage, layer, origin);
  });
  const upper = attach(plan, stage, upperSlot(plan, overlay, origin, context), origin);
  for (const directory of Object.values(overlayDirectories)) plan.op('inside', origin, 'MakeDir', upper, directory, 0o755);
  plan.shared(upperKey(origin), () => upper);
  const numbers = Uint32Array.from(layers.map(({ index }) => index));
  plan.op('inside', origin, 'Overlay', slot, new Uint8Array(numbers.buffer), upper, mountAttr.nosuid | mountAttr.nodev);
  return slot;
}

function attach(plan: PlanWriter, stage: Slot, layer: Slot, origin: string): Slot {
  const path = `/${layer.index}`;
  plan.op('inside', origin, 'MakeDir', stage, path, 0o700);
  plan.op('inside', origin, 'MoveMount', layer, stage, path);
  return layer;
}

function upperSlot(plan: PlanWriter, { upper, size, inodes, followLinks }: OverlaySpec, origin: string, context: Context): Slot {
  if (upper !== 'memory') {
    const slot = bindHost(plan, context, { origin, source: upper, readonly: false, owned: true, alone: true, followLinks });
    checkPrivate(upper, origin);
    return slot;
  }
  return newFs(plan, 'tmpfs', { size: `${size}`, nr_inodes: `${inodes}`, mode: '755' }, mountAttr.nosuid | mountAttr.nodev, origin);
}

// A set-id file of a lower layer is copied up with its mode, so nobody else may have access to the copy.
function checkPrivate(upper: string, origin: string): void {
  const { kind, mode } = statSource(upper, origin);
  if (kind !== 'dir') throw new OptionError(`${origin}.upper`, `is not a directory: ${upper}`);
  if ((mode & 0o077) !== 0)
    throw new SysError({
      errno: errnos.EACCES,
      syscall: 'stat',
      origin: `${origin}.upper`,
      path: upper,
      hint: 'other users can access it: run chmod 700',
    });
}
