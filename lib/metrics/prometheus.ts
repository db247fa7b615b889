import type { IncomingMessage, ServerResponse } from 'node:http';
import { Sandbox } from '../sandbox/sandbox';
import { handlerFor, type Measurable, measure, toPrometheus } from './exposition';

/**
 * Returns the metrics of sandboxes, by default of all open ones, in Prometheus's text format 0.0.4. Metrics have the
 * names that cAdvisor uses, where it has them, and the label `id`. One sandbox takes about 100 µs.
 */
export function prometheusMetrics(sandboxes: Iterable<Measurable> = Sandbox.list()): string {
  return toPrometheus(measure(sandboxes));
}

/**
 * Returns a request handler that serves {@link prometheusMetrics}. It calls `sandboxes` for each request:
 * `http.createServer(prometheusHandler()).listen(9100)`.
 */
export function prometheusHandler(
  sandboxes: () => Iterable<Measurable> = () => Sandbox.list(),
): (request: IncomingMessage, response: ServerResponse) => void {
  return handlerFor(sandboxes);
}
