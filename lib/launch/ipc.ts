import type { Socket } from 'node:net';
import { NsError } from '../errors';

// A message is the program's word: longer ones end the sandbox instead of filling this process.
const maxMessage = 16 * 2 ** 20;

/**
 * The JSON channel of child_process.fork: one message a line. Only plain messages pass; those that Node keeps for
 * itself (`cmd: 'NODE_…'`, which hand over sockets) are dropped.
 */
export class JsonChannel {
  private rest: Buffer[] = [];
  private size = 0;

  constructor(
    private readonly stream: Socket,
    private readonly onMessage: (message: unknown) => void,
    private readonly onOverflow: () => void,
  ) {
    stream.on('data', (chunk: Buffer) => this.add(chunk));
    stream.unref();
  }

  /** Resolves when the message is handed to the kernel. */
  send(message: unknown): Promise<void> {
    const text = JSON.stringify(message);
    if (text === undefined) return Promise.reject(new NsError('ERR_NSJS_IPC', 'the message has no JSON form'));
    return new Promise((resolve, reject) => {
      this.stream.write(`${text}\n`, (error) => {
        if (error) reject(new NsError('ERR_NSJS_IPC', 'the program closed the channel', { cause: error }));
        else resolve();
      });
    });
  }

  private add(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      this.deliver(Buffer.concat([...this.rest, chunk.subarray(from, end)]));
      this.rest = [];
      this.size = 0;
      from = end + 1;
    }
    this.rest.push(chunk.subarray(from));
    this.size += chunk.length - from;
    if (this.size > maxMessage) {
      this.stream.destroy();
      this.onOverflow();
    }
  }

  private deliver(line: Buffer): void {
    let message: unknown;
    try {
      message = JSON.parse(line.toString('utf8'));
    } catch {
      return;
    }
    if (!isInternal(message)) this.onMessage(message);
  }
}

function isInternal(message: unknown): boolean {
  if (typeof message !== 'object' || message === null || !('cmd' in message)) return false;
  return typeof message.cmd === 'string' && message.cmd.startsWith('NODE_');
}
