import type { RefusalReason } from '../features/egress-events';

/** Error of a refused connection. `message` is the detail, or the reason if there is no detail. */
export class Refusal extends Error {
  constructor(
    readonly reason: RefusalReason,
    readonly detail?: string,
  ) {
    super(detail ?? reason);
  }
}
