import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Measured, type Metric, metrics, type Point } from './table';

/** A sandbox as seen by the metrics, such as a {@link Sandbox}. */
export interface Measurable {
  readonly id: string;
  readonly openedAt: number;
  stats(): Measured['stats'];
}

/** Measures sandboxes, without those that have ended. */
export function measure(sandboxes: Iterable<Measurable>): readonly Measured[] {
  return [...sandboxes].flatMap((sandbox) => {
    try {
      return [{ id: sandbox.id, openedAt: sandbox.openedAt, stats: sandbox.stats() }];
    } catch {
      return [];
    }
  });
}

/** Converts measurements to the text format of Prometheus, version 0.0.4. Each metric has the label `id`. Pure. */
export function toPrometheus(measured: readonly Measured[]): string {
  const families = new Map<string, { readonly metric: Metric; readonly lines: string[] }>();
  for (const metric of metrics) {
    for (const sandbox of measured) {
      for (const point of metric.points(sandbox)) {
        const { name, labels } = nameOf(metric, point);
        const family = families.get(name) ?? { metric, lines: [] };
        families.set(name, family);
        family.lines.push(`${name}{${textOf({ id: sandbox.id, ...labels })}} ${point.value}`);
      }
    }
  }
  return [...families]
    .map(([name, { metric, lines }]) => `# HELP ${name} ${metric.description}.\n# TYPE ${name} ${metric.kind}\n${lines.join('\n')}\n`)
    .join('');
}

const nameOf = ({ prometheus }: Metric, point: Point): { readonly name: string; readonly labels?: Readonly<Record<string, string>> } =>
  typeof prometheus === 'string' ? { name: prometheus } : prometheus(point);

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };
const textOf = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (character) => escapes[character] ?? '')}"`)
    .join(',');

/**
 * Returns a request handler for node:http that responds with the metrics of sandboxes:
 * `createServer(prometheusHandler())`.
 */
export function handlerFor(sandboxes: () => Iterable<Measurable>): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(request.method === 'HEAD' ? undefined : toPrometheus(measure(sandboxes())));
  };
}
