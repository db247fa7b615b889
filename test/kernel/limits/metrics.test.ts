import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { prometheusHandler, prometheusMetrics, Sandbox, spawnIsolated, spawnIsolatedSync } from 'nsjs';
import { instrument } from 'nsjs/otel';
import { rejection, thrown } from '../../support';
import { mebibyte } from './load';

describe('metrics', () => {
  test("Prometheus: the text has cAdvisor's names and the values of stats()", async () => {
    await using sandbox = await Sandbox.open({ limits: { memory: '128M' } });
    await using other = await Sandbox.open();
    const text = prometheusMetrics();
    for (const { id } of [sandbox, other]) expect(text).toMatch(new RegExp(`^container_memory_usage_bytes\\{id="${id}"\\} \\d+$`, 'm'));
    expect(text).toContain(`container_spec_memory_limit_bytes{id="${sandbox.id}"} ${128 * mebibyte}`);
    expect(text).toMatch(/^container_network_receive_bytes_total\{id="[^"]+",interface="lo"\} 0$/m);
    const names = [...text.matchAll(/^# TYPE (\S+) (counter|gauge)$/gm)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|[a-z_]+\{id="[^"]+"(,[a-z_]+="[^"]*")*\} [\d.e+-]+)$/);
    expect(prometheusMetrics([sandbox])).not.toContain(other.id);
  });

  test('Prometheus: the handler serves the text over HTTP', async () => {
    await using sandbox = await Sandbox.open();
    const server = createServer(prometheusHandler()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const body = await new Promise<string>((resolve, reject) => {
      get({ port, host: '127.0.0.1', path: '/metrics' }, (response) => {
        expect(response.headers['content-type']).toContain('version=0.0.4');
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
      }).on('error', reject);
    });
    server.close();
    expect(body).toContain(sandbox.id);
  });

  test('OpenTelemetry: sandboxes are measured at each collection, and runs are counted by reason', async () => {
    class Reader extends MetricReader {
      protected override async onForceFlush(): Promise<void> {}
      protected override async onShutdown(): Promise<void> {}
    }
    const reader = new Reader();
    const instrumentation = instrument({ meterProvider: new MeterProvider({ readers: [reader] }) });
    await using sandbox = await Sandbox.open();
    await spawnIsolated('true');
    await rejection(spawnIsolated('sleep', ['100'], { timeout: 100 }));
    spawnIsolatedSync('true');
    thrown(() => spawnIsolatedSync('/bin/sh', ['-c', 'kill -TERM $$']));
    const read = async () => {
      const { resourceMetrics, errors } = await reader.collect();
      expect(errors).toEqual([]);
      return new Map(resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics).map((metric) => [metric.descriptor.name, metric]));
    };
    const metrics = await read();
    const memory = metrics.get('container.memory.usage');
    expect(memory?.descriptor.unit).toBe('By');
    expect(memory?.dataPoints).toEqual([
      expect.objectContaining({ attributes: { 'container.id': sandbox.id }, value: expect.any(Number) }),
    ]);
    expect(metrics.get('container.cpu.time')?.dataPointType).toBe(DataPointType.SUM);
    const runs = metrics.get('nsjs.runs')?.dataPoints.map(({ attributes, value }) => [attributes['nsjs.reason'], value]);
    expect(runs).toEqual(
      expect.arrayContaining([
        ['exited', 2],
        ['timeout', 1],
        ['signaled', 1],
      ]),
    );
    instrumentation.stop();
    await spawnIsolated('true');
    const later = (await read()).get('nsjs.runs')?.dataPoints.map(({ value }) => value);
    expect(later).toEqual([2, 1, 1]);
  });
});
