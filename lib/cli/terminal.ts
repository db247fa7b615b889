import type { IsolatedProcess } from '../run/types';

const { stdin, stdout } = process;

/** Size of the terminal that this process is on; 80 by 24 where it has none. */
export const terminalSize = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });

/** Connects this process's terminal with the program's: every key goes through as it is. The returned function lets go of it. */
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
