// Measures the effect of attacks in a sandbox on the host: a loop of trivial system calls, and the event loop of Node,
// as ratios to the same host at rest (when only this program runs). Prints a table and writes
// bench/results/attack.json; the target is at most 2.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Sandbox, spawnIsolated } from 'nsjs';

const windowMs = 3000;
const calls = 2000;

/** Every attack runs with the unchanged preset `untrusted`, for about the length of the window. */
const perl = (program) => ['perl', ['-e', program]];
const attacks = {
  spinning: perl('fork; fork; fork; fork; 1 while 1'),
  'fork bomb': perl('while (1) { fork }'),
  'memory: anonymous': perl('while (1) { my @a; push @a, "x" x 1048576 for 1..500; }'),
  'memory: files': perl('while (1) { open F, ">", "/tmp/x$_" and syswrite F, "x" x 1048576 for 1..60; unlink glob "/tmp/x*" }'),
  'memory: pipes': perl(
    'use IO::Handle; my @p; for (1..500) { pipe(my $r, my $w) or last; $w->blocking(0); push @p, $r, $w } while (1) { syswrite $p[2 * $_ + 1], "x" x 65536 for 0..$#p / 2 }',
  ),
  'memory: and die, again and again': ['/bin/sh', ['-c', 'while :; do perl -e \'my @a; push @a, "x" x 1048576 for 1..700\'; done']],
  'fd flood': perl('while (1) { my @f; while (open my $f, "<", "/dev/null") { push @f, $f } }'),
  'output flood': perl('my $x = "x" x 65536; while (1) { syswrite STDOUT, $x }'),
  inotify: perl(
    'while (1) { my @f; for (1..2000) { my $fd = syscall(294, 0); last if $fd < 0; syscall(254, $fd, "/tmp", 0xfff); push @f, $fd } syscall(3, $_) for @f }',
  ),
  'thousands of files': perl('while (1) { for (1..16000) { open F, ">", "/tmp/$_" } unlink glob "/tmp/*" }'),
  'signal storm': perl('$SIG{USR1} = sub {}; my $p = $$; for (1..8) { next if fork; kill "USR1", $p while 1 } sleep 100'),
  'context switches': perl(
    'pipe A, B; pipe C, D; if (fork) { while (1) { syswrite B, "x"; sysread C, $_, 1 } } else { while (1) { sysread A, $_, 1; syswrite D, "x" } }',
  ),
};
const mounts = ['perl', ['-e', 'while (1) { system "mount -t tmpfs none /tmp 2>/dev/null" for 1..1000 }']];

/** Measures one window: median and 99th percentile, in ms. */
async function feel() {
  const loop = [];
  const syscalls = [];
  for (const end = performance.now() + windowMs; performance.now() < end; ) {
    const before = performance.now();
    for (let index = 0; index < calls; index++) existsSync('/');
    syscalls.push(performance.now() - before);
    const asked = performance.now();
    await pause(5);
    loop.push(performance.now() - asked);
  }
  const at = (list, share) => list.sort((one, other) => one - other)[Math.floor(list.length * share)];
  return { syscalls: at(syscalls, 0.5), loop: at(loop, 0.5), slowCalls: at(syscalls, 0.99), slowLoop: at(loop, 0.99) };
}

const runWith = async ([command, args], options = {}) => {
  const run = spawnIsolated(command, args, { reject: false, limits: { wallTime: windowMs + 1500 }, buffer: false, ...options });
  run.stdout?.resume();
  await run.spawned;
  await pause(500);
  const felt = await feel();
  run.kill('SIGKILL');
  await run;
  return felt;
};

// Attacks on the event loop: a program creates many connections, processes, descriptors, names or refused packets, and
// this process reads the reports about them.
const blocking = {
  // As many connections as memory allows: socket buffers are charged to the sandbox.
  connections: `use IO::Socket::INET; for (1..4) { fork or last } my @k; my $l = IO::Socket::INET->new(Listen => 500, LocalAddr => "127.0.0.1:0");
    for (1..450) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:" . $l->sockport) or last; push @k, $c, $l->accept }
    while (1) { IO::Socket::INET->new(PeerAddr => "9.9.9.9:81", Timeout => 0.05); select undef, undef, undef, 0.01 }`,
  processes: `for (1..60) { fork or last } while (1) { open F, "<", "/proc/self/status"; select undef, undef, undef, 0.001 }`,
  descriptors: `for (1..20) { fork or last } use IO::Socket::INET; my @k; for (1..1000) { open my $f, "<", "/dev/null" or last; push @k, $f }
    pop @k for 1..5; while (1) { IO::Socket::INET->new(PeerAddr => "9.9.9.9:81", Timeout => 0.05); select undef, undef, undef, 0.01 }`,
  'refused packets': `use IO::Socket::INET; my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "9.9.9.9:99"); while (1) { $s->send("x") }`,
};

/**
 * Returns the longest block of the event loop, in ms, while this process does or does not read reports about the
 * program.
 */
async function longestBlock(program, reads) {
  const onConnect = (context) => {
    if (reads) context.program();
    return 'deny';
  };
  const egress = { allow: ['good.test:80'], resolve: () => [], onConnect };
  const sandbox = await Sandbox.open({ network: { egress }, limits: { pids: 64, openFiles: 1024 } });
  if (reads) sandbox.events.on('egress', () => {});
  const run = sandbox.spawn('perl', ['-e', program], { reject: false });
  await run.spawned;
  await pause(1000);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (const end = performance.now() + windowMs; performance.now() < end; ) {
    if (reads) sandbox.stats();
    await pause(50);
  }
  delay.disable();
  await sandbox.close();
  await run.catch(() => {});
  return delay.max / 1e6;
}

const blocks = [];
for (const [name, program] of Object.entries(blocking)) {
  process.stderr.write(`attack on the event loop: ${name}\n`);
  blocks.push({ name, without: await longestBlock(program, false), withReads: await longestBlock(program, true) });
}

const rows = [];
const all = { ...attacks, 'thousands of mounts': mounts };
for (const [name, attack] of Object.entries(all)) {
  process.stderr.write(`attack: ${name}\n`);
  // Measures the host at rest before and after each attack, since the load of the host changes by the second.
  const before = await feel();
  const felt = await runWith(attack, name === 'thousands of mounts' ? { preset: 'container' } : {});
  const after = await feel();
  const ratios = Object.fromEntries(Object.keys(felt).map((key) => [key, (2 * felt[key]) / (before[key] + after[key])]));
  rows.push({ name, ...ratios, before, felt, after });
}
const most = Math.max(...rows.flatMap(({ syscalls, loop }) => [syscalls, loop]));
console.log('x at rest'.padEnd(34), 'system calls', '  p99', 'event loop', '  p99');
for (const { name, syscalls, loop, slowCalls, slowLoop } of rows)
  console.log(
    name.padEnd(34),
    syscalls.toFixed(2).padStart(12),
    slowCalls.toFixed(2).padStart(5),
    loop.toFixed(2).padStart(10),
    slowLoop.toFixed(2).padStart(5),
  );
console.log(`\nmaximum: ${most.toFixed(2)} (target: at most 2)`);
console.log('\nlongest block of the event loop, ms'.padEnd(36), 'reads off', 'reads on (target: at most 50)');
for (const { name, without, withReads } of blocks)
  console.log(name.padEnd(34), without.toFixed(1).padStart(10), withReads.toFixed(1).padStart(9));
mkdirSync('bench/results', { recursive: true });
writeFileSync('bench/results/attack.json', `${JSON.stringify({ windowMs, rows, blocks }, undefined, 2)}\n`);
