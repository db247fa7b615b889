// Builds build/test/launcher-fault: the launcher with test/native/fault.cc in place of its direct system calls.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';

const gyp = readFileSync('binding.gyp', 'utf8');
const flags = (key) => JSON.parse(`[${new RegExp(`"${key}": \\[([^\\]]*)\\]`, 's').exec(gyp)[1]}]`);
const sources = ['src/launch', 'src/launch/ops'].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => `${folder}/${name}`),
);

mkdirSync('build/test', { recursive: true });
execFileSync(
  process.env.CXX ?? 'g++',
  [
    ...flags('launcher_flags'),
    '-DNSJS_FAULT',
    '-nostdlib',
    '-static',
    '-no-pie',
    '-s',
    '-Wl,--gc-sections',
    '-Wl,--build-id=none',
    '-o',
    'build/test/launcher-fault',
    'src/plan/reader.cc',
    ...sources,
    'test/native/fault.cc',
  ],
  { stdio: 'inherit' },
);
