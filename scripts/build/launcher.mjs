// Compiles the launcher outside of gyp, for tests, with the flags of binding.gyp.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const linking = [
  '-nostdlib',
  '-static',
  '-no-pie',
  '-s',
  '-Wl,--gc-sections',
  '-Wl,-z,noexecstack',
  '-Wl,-z,noseparate-code',
  '-Wl,--build-id=none',
];

/** The .cc files of some directories. */
const sourcesOf = (...directories) =>
  directories.flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.cc'))
      .map((name) => join(directory, name)),
  );

const launcherSources = () => ['src/plan/reader.cc', ...sourcesOf('src/launch', 'src/launch/ops')];

export function buildLauncher({ compiler = 'g++', output, extra = [] }) {
  const gyp = readFileSync('binding.gyp', 'utf8');
  const flags = JSON.parse(`[${/"launcher_flags": \[([^\]]*)\]/s.exec(gyp)[1]}]`);
  execFileSync(compiler, [...flags, ...linking, '-o', output, ...launcherSources(), ...extra], { stdio: 'inherit' });
}
