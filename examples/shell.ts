// An interactive shell in a sandbox, on a terminal of its own: job control works, and what it does to its terminal stays there.
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
  // Every key goes to the shell as it is: Ctrl-C and Ctrl-Z are for what runs in it.
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
