import { Transform, type TransformCallback } from 'node:stream';
import { firstNotBlank, hasProxySignature, isForProxy, isOldRequest, otherMark, readGreeting, requestMark } from './detect-protocol';
import { findHello, tlsRecord } from './hello-shape';
import { Refusal } from './refusal';
import { TlsClient } from './tls-client';

/** Protocol of a program, as far as it is known when its first bytes are passed on. */
export type Spoken = 'tls' | 'other' | 'unsure';

const pieces = () => new Refusal('protocol', 'an HTTP request that began too late to be checked');
const unreadable = () => new Refusal('protocol', 'unreadable');

/**
 * Bytes of the first line that are kept. The marks of a request are searched for in the whole line, however long it is.
 */
const maxLine = 8 * 1024;
const markSize = 8;
const signatureSize = 12;

/**
 * Minimum size of a possible start of a ClientHello that is held back. Fewer bytes are passed on immediately, so that
 * they delay nothing: a server cannot read a ClientHello without the rest.
 */
const sure = 7;
/** Blanks between words, of which some servers accept any number. */
const blanks = /[\t\v\f\r \x1c-\x1f\x85\xa0]{2,}/g;

/**
 * Passes on the bytes that a program sends to a server on a connection whose name is checked. It does not pass on
 * anything that could become a request, or a TLS ClientHello, for a name that has not been checked: a first line that
 * turns out to be a request, TLS that begins later at any offset (as after STARTTLS), or a second ClientHello on the
 * same connection. Fails with a Refusal before the decisive byte is passed on.
 */
export class ClientGuard extends Transform {
  private tls: TlsClient | undefined;
  /** Start and last bytes of a first line that is not complete yet. */
  private line: { start: string; end: string } | undefined;
  private head = Buffer.alloc(0);
  /**
   * Last bytes received, from the offset where a ClientHello may begin. The first `gone` of them have been passed on.
   */
  private kept = Buffer.alloc(0);
  private gone = 0;
  private first: number | undefined;

  /**
   * `check` receives the server name in each TLS ClientHello, except the first one of a stream that begins with TLS; it
   * throws a Refusal.
   */
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
    this.first ??= chunk[0];
    if (this.tls) this.pass(this.tls.take(chunk));
    else {
      if (this.line !== undefined) this.watchLine(chunk);
      this.watchHello(this.kept.length === 0 ? chunk : Buffer.concat([this.kept, chunk]));
    }
  }

  private pass(bytes: Buffer): void {
    if (bytes.length > 0) this.push(bytes);
  }

  // The first bytes did not show whether the line is a request. If later bytes make it one, it is too late to check its
  // host.
  private watchLine(chunk: Buffer): void {
    this.head = Buffer.concat([this.head, chunk.subarray(0, Math.max(0, signatureSize - this.head.length))]);
    if (hasProxySignature(this.head)) throw pieces();
    const { line } = this;
    if (!line) return;
    const text = chunk.toString('latin1', line.start === '' ? firstNotBlank(chunk) : 0);
    const end = text.indexOf('\n');
    const own = end < 0 ? text : text.slice(0, end);
    // A mark may be split across two chunks.
    const near = line.end + own;
    line.start = (line.start + own).replace(blanks, ' ').slice(0, maxLine);
    line.end = near.slice(-markSize);
    if (requestMark.test(near) || otherMark.test(near) || isForProxy(line.start)) throw pieces();
    if (end < 0) return;
    if (isOldRequest(line.start)) throw pieces();
    this.line = undefined;
  }

  // In a clear-text protocol the server decides where TLS begins, after commands that are not known here. So every
  // offset is searched for a ClientHello.
  private watchHello(bytes: Buffer): void {
    const found = findHello(bytes, 0);
    if (!found) {
      this.pass(bytes.subarray(this.gone));
      this.keep(bytes.subarray(bytes.length), 0);
      return;
    }
    const { at, isOld } = found;
    this.pass(bytes.subarray(this.gone, at));
    const rest = bytes.subarray(at);
    const gone = Math.max(0, this.gone - at);
    const greeting = found.seen === 'more' ? 'more' : isOld ? unread : readGreeting(rest, false);
    if (greeting === 'more' || greeting.kind === 'more') {
      const isShort = rest.length < sure;
      if (isShort) this.pass(rest.subarray(gone));
      this.keep(rest, isShort ? rest.length : gone);
      return;
    }
    if (greeting.kind !== 'tls') throw unreadable();
    const check = (serverName: string | undefined) => this.checkLater(serverName);
    check(greeting.serverName);
    this.tls = new TlsClient(check);
    this.pass(this.tls.take(rest).subarray(gone));
    this.keep(rest.subarray(rest.length), 0);
  }

  private keep(bytes: Buffer, gone: number): void {
    this.kept = Buffer.from(bytes);
    this.gone = gone;
  }

  // A ClientHello without a server name inside another protocol is for the server that the connection already uses.
  private checkLater(serverName: string | undefined): void {
    const { first = 0 } = this;
    const isOther = (first < tlsRecord.changeCipherSpec || first > tlsRecord.last) && first < 0x80;
    if (serverName !== undefined || !isOther) this.check(serverName);
  }

  override _flush(done: TransformCallback): void {
    // Bytes that are still held back belong to an incomplete ClientHello, which is refused.
    done(this.kept.length > this.gone ? unreadable() : null);
  }
}

const unread = { kind: 'unreadable' } as const;
