// Builds programs that only tests run, into build/test: the launcher with test/native/fault.cc in place of its direct
// system calls, and the static programs of attacks. `tests.mjs arm64` builds them for arm64, into build/arm64/test.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { buildLauncher } from './launcher.mjs';

const isCross = process.argv[2] === 'arm64';
const directory = isCross ? 'build/arm64/test' : 'build/test';
const compiler = isCross ? 'aarch64-linux-gnu-gcc' : (process.env.CC ?? 'gcc');

// Tests compare the filter compiler with libseccomp.
function buildOracle() {
  const output = `${directory}/seccomp-oracle`;
  rmSync(output, { force: true });
  if (isCross || !existsSync('/usr/include/seccomp.h')) return;
  execFileSync(compiler, ['-O1', '-Wall', '-Werror', '-o', output, 'test/programs/seccomp-oracle.c', '-lseccomp'], {
    stdio: 'inherit',
  });
}

mkdirSync(directory, { recursive: true });
buildLauncher({
  ...(isCross && { compiler: 'aarch64-linux-gnu-g++' }),
  output: `${directory}/launcher-fault`,
  extra: ['-DNSJS_FAULT', 'test/native/fault.cc'],
});
const statics = {
  probes: 'test/programs/probes.c',
  'net-probe': 'test/programs/net-probe.c',
  'kernel-memory': 'test/programs/kernel-memory.c',
};
for (const [name, source] of Object.entries(statics)) {
  const args = ['-O1', '-Wall', '-Werror', '-static', '-pthread', '-o', `${directory}/${name}`, source];
  execFileSync(compiler, args, { stdio: 'inherit' });
}
buildOracle();
