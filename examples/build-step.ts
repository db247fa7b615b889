// A build step: the sources are visible but read-only, one directory is writable, and the files in it belong to the
// caller.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnIsolated } from 'nsjs';

async function main(): Promise<void> {
  const project = mkdtempSync(join(tmpdir(), 'nsjs-build-'));
  mkdirSync(join(project, 'src'));
  mkdirSync(join(project, 'out'));
  writeFileSync(join(project, 'src/data.txt'), 'b\na\nc\n');
  try {
    await spawnIsolated('/bin/sh', ['-c', 'sort /src/data.txt > /out/sorted.txt'], {
      mounts: [
        { type: 'bind', source: join(project, 'src'), target: '/src' },
        { type: 'bind', source: join(project, 'out'), target: '/out', readonly: false },
      ],
    });
    console.log(`built: ${readFileSync(join(project, 'out/sorted.txt'), 'utf8').split('\n').join(' ')}`);
    console.log(`it belongs to the caller: ${statSync(join(project, 'out/sorted.txt')).uid === process.geteuid?.()}`);

    const spoiled = await spawnIsolated('/bin/sh', ['-c', 'echo x > /src/data.txt'], {
      mounts: [{ type: 'bind', source: join(project, 'src'), target: '/src' }],
      reject: false,
    });
    console.log(`the sources are safe: ${spoiled.stderr}`);
  } finally {
    rmSync(project, { recursive: true });
  }
}

void main();
