import type { IncomingMessage, ServerResponse } from 'node:http';
import { Sandbox } from '../sandbox/sandbox';
import { handlerFor, type Measurable, measure, toPrometheus } from './exposition';

/**
 * Metrics of sandboxes, all that are open by default, in Prometheus's text format 0.0.4: under cAdvisor's names where it has one, each with
 * label `id`. One sandbox costs some 100 µs.
 */
export function prometheusMetrics(sandboxes: Iterable<Measurable> = Sandbox.list()): string {
  return toPrometheus(measure(sandboxes));
}

/** Serves {@link prometheusMetrics} of what `sandboxes` gives at each request: `http.createServer(prometheusHandler()).listen(9100)`. */
export function prometheusHandler(
  sandboxes: () => Iterable<Measurable> = () => Sandbox.list(),
): (request: IncomingMessage, response: ServerResponse) => void {
  return handlerFor(sandboxes);
}
