// Runs the second build (CMake, and the addon through cmake-js), then the native tests under ASan and UBSan.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const directory = 'build/cmake';

function run(command, args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (error || status !== 0) {
    console.error(
      `${command} ${args.join(' ')} failed${error ? `: ${error.message} (apt-get install cmake g++)` : ''}\n${stdout ?? ''}${stderr ?? ''}`,
    );
    process.exit(1);
  }
  return stdout;
}

run(process.execPath, ['node_modules/cmake-js/bin/cmake-js', 'compile', '-O', directory]);
for (const made of ['compile_commands.json', 'plan-test']) {
  if (!existsSync(`${directory}/${made}`)) throw new Error(`cmake did not make ${made}`);
}
console.log(run(`${directory}/plan-test`, []).trim());

// Long enough to find what a change broke; longer runs would find more.
const seconds = 20;
const fuzzer = `${directory}/plan-fuzz`;
const { status } = spawnSync('clang++', ['--version']);
if (status === 0) {
  const sanitizers = '-fsanitize=fuzzer,address,undefined';
  run('clang++', ['-std=c++20', '-g', '-O1', sanitizers, '-o', fuzzer, 'test/native/plan_fuzz.cc', 'src/plan/reader.cc']);
  run(fuzzer, [`-max_total_time=${seconds}`, '-max_len=4096', '-print_final_stats=0', '-verbosity=0', `-artifact_prefix=${directory}/`]);
  console.log(`plan reader: fuzzed for ${seconds} s`);
} else console.log('plan reader: not fuzzed (skipped: clang++)');
