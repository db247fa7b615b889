import { Transform, type TransformCallback } from 'node:stream';
import { Refusal } from './connection';
import {
  firstNotBlank,
  hasProxySignature,
  isForProxy,
  isOldRequest,
  isTlsByte,
  otherMark,
  readGreeting,
  requestMark,
  tlsRecord,
} from './sniff';
import { TlsClient } from './tls-client';

/** What a program speaks, as far as it is known when the first of it is passed on. */
export type Spoken = 'tls' | 'other' | 'unsure';

const pieces = () => new Refusal('protocol', 'a request in pieces');
const unreadable = () => new Refusal('protocol', 'unreadable');

/** Of the first line so much is kept; what marks a request is looked for however long it is. */
const maxLine = 8 * 1024;
const markSize = 8;
const signatureSize = 12;

// Where clear text turns into TLS: SMTP and IMAP, POP3, FTP, XMPP, LDAP.
const upgrade =
  /(?:^|\n)(?:\S{1,64}[ \t]+)?(?:STARTTLS|STLS|AUTH[ \t]+(?:TLS|SSL))[^\n]{0,64}\n|<starttls\b[^>]{0,512}>|1\.3\.6\.1\.4\.1\.1466\.20037/gi;
const upgradeTail = 640;
// And, of a client's first message, PostgreSQL (SSLRequest, GSSENCRequest).
const postgresUpgrades = ['0000000804d2162f', '0000000804d21630'].map((hex) => Buffer.from(hex, 'hex'));
const mysqlPacket = Buffer.from('20000001', 'hex');
const mysqlSize = 36;
const mysqlTls = 0x08;

/**
 * What a program sends on a connection whose name is checked, on its way to the server. It passes on nothing that could become a request, or
 * a greeting of TLS, for a name that nobody has looked at: a first line that turns out to be a request, TLS that begins later, a second
 * greeting in the same connection. Fails with a Refusal before the byte that matters.
 */
export class ClientGuard extends Transform {
  private tls: TlsClient | undefined;
  /** Of a first line that has no end yet: how it begins, and the last of it. */
  private line: { start: string; end: string } | undefined;
  private head = Buffer.alloc(0);
  private tail = Buffer.alloc(0);
  private held: Buffer | undefined;
  private passed = 0;

  /** `check` is told of the name of each greeting of TLS but of the first one's of a stream that begins with it; throws a Refusal. */
  constructor(
    spoken: Spoken,
    private readonly check: (serverName: string | undefined) => void,
  ) {
    super();
    if (spoken === 'tls') this.tls = new TlsClient(check);
    if (spoken === 'unsure') this.line = { start: '', end: '' };
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    try {
      this.examine(chunk);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  private examine(chunk: Buffer): void {
    if (this.tls) this.pass(this.tls.take(chunk));
    else if (this.held) this.takeUpgraded(Buffer.concat([this.held, chunk]));
    else {
      if (this.line !== undefined) this.watchLine(chunk);
      this.watchUpgrade(chunk);
    }
  }

  private pass(bytes: Buffer): void {
    this.passed += bytes.length;
    if (bytes.length > 0) this.push(bytes);
  }

  // It was not clear whether it is a request: if this makes it one, it comes too late to be looked at.
  private watchLine(chunk: Buffer): void {
    this.head = Buffer.concat([this.head, chunk.subarray(0, Math.max(0, signatureSize - this.head.length))]);
    if (hasProxySignature(this.head)) throw pieces();
    const { line } = this;
    if (!line) return;
    const text = chunk.toString('latin1', line.start === '' ? firstNotBlank(chunk) : 0);
    const end = text.indexOf('\n');
    const own = end < 0 ? text : text.slice(0, end);
    // What marks it may be cut in two.
    const near = line.end + own;
    line.start += own.slice(0, maxLine - line.start.length);
    line.end = near.slice(-markSize);
    if (requestMark.test(near) || otherMark.test(near) || isForProxy(line.start)) throw pieces();
    if (end < 0) return;
    if (isOldRequest(line.start)) throw pieces();
    this.line = undefined;
  }

  private watchUpgrade(chunk: Buffer): void {
    const end = this.endOfUpgrade(chunk);
    if (end === undefined) {
      this.tail = Buffer.concat([this.tail, chunk]).subarray(-upgradeTail);
      this.pass(chunk);
      return;
    }
    this.tail = Buffer.alloc(0);
    this.pass(chunk.subarray(0, end));
    this.takeUpgraded(chunk.subarray(end));
  }

  // Where in a chunk the program's last word before TLS ends.
  private endOfUpgrade(chunk: Buffer): number | undefined {
    const before = this.tail.length;
    const all = Buffer.concat([this.tail, chunk]);
    if (this.passed === before) {
      if (postgresUpgrades.some((word) => all.length >= word.length && all.subarray(0, word.length).equals(word))) return 8 - before;
      if (all.length >= mysqlSize && all.subarray(0, 4).equals(mysqlPacket) && ((all[5] ?? 0) & mysqlTls) !== 0) return mysqlSize - before;
    }
    upgrade.lastIndex = 0;
    const text = all.toString('latin1');
    for (let found = upgrade.exec(text); found; found = upgrade.exec(text))
      if (upgrade.lastIndex > before) return upgrade.lastIndex - before;
    return undefined;
  }

  private takeUpgraded(bytes: Buffer): void {
    this.held = undefined;
    if (bytes.length === 0) {
      this.held = bytes;
      return;
    }
    if (!isTlsByte(bytes[0]) && (bytes[0] ?? 0) < 0x80) {
      // The server would not, or the program has thought better of it.
      this.watchUpgrade(bytes);
      return;
    }
    const greeting = readGreeting(bytes, false);
    if (greeting.kind === 'more') {
      this.held = bytes;
      return;
    }
    if (greeting.kind === 'unreadable') throw unreadable();
    if (greeting.kind !== 'tls') {
      this.watchUpgrade(bytes);
      return;
    }
    this.check(greeting.serverName);
    this.tls = new TlsClient(this.check);
    this.pass(this.tls.take(bytes));
  }

  override _flush(done: TransformCallback): void {
    // Half a greeting is none.
    done(this.held && this.held.length > 0 && this.held[0] === tlsRecord.handshake ? unreadable() : null);
  }
}
