import type { OpName } from './ops';

/** Sections of a plan, in the order of the wire format. */
export const sections = ['host', 'inside', 'beside', 'program', 'end', 'after'] as const;
export type Section = (typeof sections)[number];

/** One operation of a plan, as added by a feature. */
export interface PlannedOp {
  readonly name: OpName;
  /** The option that requires the operation. An error of the operation names it. */
  readonly origin: string;
  readonly args: readonly Argument[];
  /** Number of operations to skip, this one included, if it fails; 0 if its failure ends the set-up. */
  readonly optional: number;
  readonly hint?: string | undefined;
}

/** A slot of the launcher that holds a descriptor. */
export class Slot {
  constructor(readonly index: number) {}
}

/** Used in place of a slot for the working directory or for no descriptor. */
export const noSlot = new Slot(0xffffffff);

export type Argument = number | string | Uint8Array | Slot;
