import type { OpName } from './ops';

/** Sections of a plan, in the order of the wire format. */
export const sections = ['host', 'inside', 'beside', 'program', 'end', 'after'] as const;
export type Section = (typeof sections)[number];

/** One operation as a feature wrote it. */
export interface PlannedOp {
  readonly name: OpName;
  /** The option that asked for it: names the culprit when the operation fails. */
  readonly origin: string;
  readonly args: readonly Argument[];
  /** Operations to leave out, this one included, if it fails; 0 if it must not. */
  readonly optional: number;
  readonly hint?: string | undefined;
}

/** A slot of the launcher that holds a descriptor. */
export class Slot {
  constructor(readonly index: number) {}
}

/** The working directory instead of a slot, or no descriptor at all. */
export const noSlot = new Slot(0xffffffff);

export type Argument = number | string | Uint8Array | Slot;
