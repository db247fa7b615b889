import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type Attributes,
  metrics as api,
  type Counter,
  type Histogram,
  type Meter,
  type MeterProvider,
  type Observable,
} from '@opentelemetry/api';
import type { Result } from '../report/result';
import type { SpawnTrace } from '../run/tracing';
import { Sandbox } from '../sandbox/sandbox';
import { measure } from './exposition';
import { metrics } from './table';

/** Options of {@link instrument}. */
export interface InstrumentOptions {
  /** Provider of the meter. Default: the global one. */
  readonly meterProvider?: MeterProvider;
}

/** Active instrumentation, as returned by {@link instrument}. */
export interface Instrumentation {
  /** Stops all measurements. */
  stop(): void;
}

/**
 * Observes every open sandbox of this process when metrics are collected. The metrics are `container.*` as in
 * OpenTelemetry's semantic conventions, and `nsjs.*` for values that these do not define. The attribute `container.id`
 * is the id of the sandbox. Runs are counted by `nsjs.runs` (attribute `nsjs.reason`) and `nsjs.run.duration`
 * (seconds). Needs the package `@opentelemetry/api`.
 */
export function instrument({ meterProvider = api.getMeterProvider() }: InstrumentOptions = {}): Instrumentation {
  const meter = meterProvider.getMeter('nsjs');
  const stops = [observeSandboxes(meter), countRuns(meter)];
  return {
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

function observeSandboxes(meter: Meter): () => void {
  const instruments = metrics.map((metric) => {
    const options = { unit: metric.unit, description: metric.description };
    const make = metric.kind === 'counter' ? 'createObservableCounter' : 'createObservableGauge';
    return { metric, instrument: meter[make](metric.name, options) as Observable<Attributes> };
  });
  const observables = instruments.map(({ instrument: one }) => one);
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    for (const sandbox of measure(Sandbox.list()))
      for (const { metric, instrument: one } of instruments)
        for (const { value, attributes } of metric.points(sandbox))
          result.observe(one, value, { ...attributes, 'container.id': sandbox.id });
  };
  meter.addBatchObservableCallback(observe, observables);
  return () => meter.removeBatchObservableCallback(observe, observables);
}

const ended = 'tracing:nsjs:spawn:asyncEnd';
const msPerSecond = 1000;

function countRuns(meter: Meter): () => void {
  const runs: Counter = meter.createCounter('nsjs.runs', { unit: '{run}', description: 'Programs that have ended, by reason' });
  const duration: Histogram = meter.createHistogram('nsjs.run.duration', {
    unit: 's',
    description: 'Time from the call to the end of the program',
  });
  const onEnd = (message: unknown) => {
    const { result } = message as SpawnTrace;
    const { reason, durationMs } = (result ?? { reason: 'error' }) as Partial<Result>;
    runs.add(1, { 'nsjs.reason': reason ?? 'error' });
    if (durationMs !== undefined) duration.record(durationMs / msPerSecond, { 'nsjs.reason': reason ?? 'error' });
  };
  subscribe(ended, onEnd);
  return () => unsubscribe(ended, onEnd);
}
