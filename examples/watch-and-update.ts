// Monitors a sandbox while it works, and raises its memory limit before it runs out of memory.
import { Sandbox } from 'nsjs';

const work = 'my @a; for (1..12) { push @a, "x" x 4_000_000; select undef, undef, undef, 0.1 } print "done\\n"';

async function main(): Promise<void> {
  await using sandbox = await Sandbox.open({ limits: { memory: '64M' } });
  const running = sandbox.spawn('perl', ['-e', work], { reject: false });
  const ended = new AbortController();
  void running.then(() => ended.abort());
  for await (const { memory, cpu, delta } of sandbox.monitor({ interval: 100, signal: ended.signal })) {
    const { limit = Number.POSITIVE_INFINITY } = memory;
    console.log(`${Math.round(memory.usage / 2 ** 20)} MiB, ${Math.round(cpu.usageMs)} ms of CPU time, ${(delta.cpu * 100).toFixed(0)} %`);
    if (sandbox.report.cgroup && memory.usage > limit * 0.5) {
      sandbox.update({ memory: limit * 2 });
      console.log(`the limit is now ${(limit * 2) / 2 ** 20} MiB`);
    }
  }
  const { reason, stdout } = await running;
  console.log(reason, stdout);
}

main().catch((error: Error) => {
  console.error(error);
  process.exitCode = 1;
});
