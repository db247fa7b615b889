import { OptionError } from '../base/errors';
import { parseBoolean } from '../base/parse';
import { noSlot } from '../plan/operation';
import { feature, type Step } from './feature';

export interface TerminalOptions {
  /**
   * Whether the sandbox has terminals of its own: `/dev/ptmx` and a `/dev/pts` without the host's terminals (pts(4),
   * devpts). Default false; `stdio: 'pty'` implies it. Programs can then open further terminals.
   */
  readonly terminal?: boolean;
}

export const terminal = feature({
  key: 'terminal',
  parse: (value = false, at): boolean => parseBoolean(value, at),
});

const multiplexer = '/dev/pts/ptmx';
/** Identifies the terminal's master among the descriptors that a launcher sends. */
export const masterFd = 1;

/**
 * Opens the program's terminal. Its master goes to this process; its slave becomes the controlling terminal of the new
 * session.
 */
export const openTerminal: Step = {
  scope: 'program',
  emit(plan, { newSession }, { program }) {
    const { pty } = program;
    if (!pty) return;
    if (!newSession) throw new OptionError('newSession', "stdio 'pty' needs a new session: write newSession: true");
    const master = plan.slot('stdio');
    const slave = plan.shared('pty', () => plan.slot('stdio'));
    plan.op('program', 'stdio', 'OpenPty', master, slave, noSlot, multiplexer, pty.columns, pty.rows);
    plan.op('program', 'stdio', 'SendFd', master, masterFd);
    plan.op('program', 'stdio', 'Terminal', slave);
  },
};

declare module './spec' {
  interface Spec {
    readonly terminal: ReturnType<(typeof terminal)['parse']>;
  }
}
