// An interactive shell in a sandbox, on a terminal of its own. Job control works, and changes to its terminal do not
// affect the terminal of the host.
import { spawnIsolated } from 'nsjs';

const { stdin, stdout } = process;

async function main(): Promise<void> {
  const size = { columns: stdout.columns || 80, rows: stdout.rows || 24 };
  const shell = spawnIsolated('/bin/bash', ['--norc', '-i'], {
    stdio: 'pty',
    tty: size,
    buffer: false,
    reject: false,
    hostname: 'box',
    env: { PS1: '\\h:\\w\\$ ' },
  });
  // Raw mode passes every key to the shell: Ctrl-C and Ctrl-Z act on the programs in it.
  if (stdin.isTTY) stdin.setRawMode(true);
  stdout.on('resize', () => shell.resize(stdout.columns, stdout.rows));
  if (shell.stdin) stdin.pipe(shell.stdin);
  shell.stdout?.pipe(stdout);
  try {
    process.exitCode = (await shell).exitCode ?? 1;
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.destroy();
  }
}

void main();
