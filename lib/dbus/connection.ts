import { connect, type Socket } from 'node:net';
import { NsError } from '../base/errors';
import { decodeReply, encodeCall, type MethodCall } from './message';

/**
 * A connection to a message bus or to a service, D-Bus specification. It authenticates with EXTERNAL, by the uid of
 * this process.
 */
export class DBusConnection {
  private received = Buffer.alloc(0);
  private serial = 0;

  private constructor(private readonly socket: Socket) {}

  /**
   * Connects to the socket at `path`. `isBus`: the peer is a message bus, which requires a call of Hello. Rejects with
   * the error of connect(2), or NsError ERR_NSJS_DBUS.
   */
  static async open(path: string, isBus: boolean): Promise<DBusConnection> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const connection = new DBusConnection(socket);
    try {
      await connection.authenticate();
      if (isBus) await connection.call({ ...bus, member: 'Hello', body: [] });
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Calls a method and waits for its reply. Rejects with NsError ERR_NSJS_DBUS and the error of the peer. */
  async call(call: Omit<MethodCall, 'serial'>): Promise<void> {
    const serial = ++this.serial;
    this.socket.write(encodeCall({ ...call, serial }));
    for (;;) {
      const reply = decodeReply(this.received);
      if (!reply) {
        await this.more();
        continue;
      }
      this.received = this.received.subarray(reply.size);
      if (reply.replyTo !== serial) continue;
      if (reply.kind === 'error') throw dbusError(call.member, `${reply.error}: ${reply.text ?? ''}`);
      return;
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private async authenticate(): Promise<void> {
    const uid = Buffer.from(`${process.geteuid?.() ?? 0}`).toString('hex');
    this.socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
    while (!this.received.includes('\r\n')) await this.more();
    const line = this.received.toString('latin1', 0, this.received.indexOf('\r\n'));
    if (!line.startsWith('OK ')) throw dbusError('AUTH EXTERNAL', line);
    this.received = this.received.subarray(this.received.indexOf('\r\n') + 2);
    this.socket.write('BEGIN\r\n');
  }

  private more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.socket.off('data', onData).off('close', onClose).off('error', onError).setTimeout(0).off('timeout', onTimeout);
        act();
      };
      const onData = (chunk: Buffer) => {
        this.received = Buffer.concat([this.received, chunk]);
        settle(resolve);
      };
      const onClose = () => settle(() => reject(dbusError('read', 'the peer closed the connection')));
      const onError = (error: Error) => settle(() => reject(error));
      const onTimeout = () => settle(() => reject(dbusError('read', `no reply within ${patienceMs} ms`)));
      this.socket.on('data', onData).on('close', onClose).on('error', onError).setTimeout(patienceMs).on('timeout', onTimeout);
    });
  }
}

// The default timeout of libdbus.
const patienceMs = 25_000;
const bus = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' } as const;

const dbusError = (what: string, message: string) =>
  new NsError('ERR_NSJS_DBUS', `${what}: ${message}`, {
    hint: 'run systemctl status, or systemctl --user status, to check whether systemd responds',
  });
