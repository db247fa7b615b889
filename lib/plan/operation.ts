import type { OpName } from './ops';

/** Sections of a plan, in the order of the wire format. */
export const sections = ['host', 'inside', 'beside', 'program', 'end', 'after'] as const;
export type Section = (typeof sections)[number];

/**
 * A property of an operation that later passes over a plan rely on. The step that adds the operation sets it, so that
 * these passes need not recognize operations by name.
 *
 * - `root`: creates the sandbox's new root; `attach` and `seal` attach it and make it read-only.
 * - `stage`: mounts a file system below the new root, for this sandbox alone.
 * - `system`: clones a directory of the system, independently of the sandbox's ids.
 * - `hide`: hides a part of /usr.
 * - `procfs`: mounts a new procfs.
 * - `pivot`: enters the root. `clone`: creates init.
 * - `host-id`: a text contains the host id of the sandbox.
 * - `cgroup`: a text contains the name of the sandbox's cgroups.
 */
export type Mark = 'root' | 'attach' | 'seal' | 'stage' | 'system' | 'hide' | 'procfs' | 'pivot' | 'clone' | 'host-id' | 'cgroup';

/** One operation of a plan, as added by a feature. */
export interface PlannedOp {
  readonly name: OpName;
  /** The option that requires the operation. An error of the operation names it. */
  readonly origin: string;
  readonly args: readonly Argument[];
  /** Number of operations to skip, this one included, if it fails; 0 if its failure ends the set-up. */
  readonly optional: number;
  readonly mark: Mark | undefined;
}

/** A slot of the launcher that holds a descriptor. */
export class Slot {
  constructor(readonly index: number) {}
}

/** Used in place of a slot for the working directory or for no descriptor. */
export const noSlot = new Slot(0xffffffff);

export type Argument = number | string | Uint8Array | Slot;
