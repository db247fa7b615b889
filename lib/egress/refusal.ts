import type { RefusalReason } from '../features/egress-events';

/** A connection is refused; `message` is the detail. */
export class Refusal extends Error {
  constructor(
    readonly reason: RefusalReason,
    readonly detail?: string,
  ) {
    super(detail ?? reason);
  }
}
