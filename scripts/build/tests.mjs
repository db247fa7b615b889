// Builds programs that only tests run, into build/test: the launcher with test/native/fault.cc in place of its direct
// system calls, and the static programs of attacks.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { buildLauncher } from './launcher.mjs';

// Tests compare the filter compiler with libseccomp.
function buildOracle() {
  const output = 'build/test/seccomp-oracle';
  rmSync(output, { force: true });
  if (!existsSync('/usr/include/seccomp.h')) return;
  execFileSync(process.env.CC ?? 'gcc', ['-O1', '-Wall', '-Werror', '-o', output, 'test/programs/seccomp-oracle.c', '-lseccomp'], {
    stdio: 'inherit',
  });
}

mkdirSync('build/test', { recursive: true });
buildLauncher({ output: 'build/test/launcher-fault', extra: ['-DNSJS_FAULT', 'test/native/fault.cc'] });
const statics = {
  probes: 'test/programs/probes.c',
  'net-probe': 'test/programs/net-probe.c',
  'kernel-memory': 'test/programs/kernel-memory.c',
};
for (const [name, source] of Object.entries(statics)) {
  const args = ['-O1', '-Wall', '-Werror', '-static', '-pthread', '-o', `build/test/${name}`, source];
  execFileSync(process.env.CC ?? 'gcc', args, { stdio: 'inherit' });
}
buildOracle();
