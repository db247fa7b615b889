// Builds build/test/launcher-fault: the launcher with test/native/fault.cc in place of its direct system calls.
import { mkdirSync } from 'node:fs';
import { buildLauncher } from './launcher.mjs';

mkdirSync('build/test', { recursive: true });
buildLauncher({ output: 'build/test/launcher-fault', extra: ['-DNSJS_FAULT', 'test/native/fault.cc'] });
