import type { IsolatedProcess } from '../run/types';

const { stdin, stdout } = process;

/** Returns the size of the terminal of this process; 80 by 24 without a terminal. */
export const terminalSize = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });

/**
 * Connects this process's terminal with that of the program: every key is passed on unchanged. The returned function
 * disconnects them.
 */
export function attachTerminal(running: IsolatedProcess<string | Buffer>): () => void {
  const onResize = () => running.resize(stdout.columns, stdout.rows);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdout.on('resize', onResize);
  if (running.stdin) stdin.pipe(running.stdin);
  running.stdout?.pipe(stdout);
  return () => {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdout.off('resize', onResize);
    stdin.destroy();
  };
}
