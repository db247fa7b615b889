import { Transform, type TransformCallback } from 'node:stream';
import { firstNotBlank, hasProxySignature, isForProxy, isOldRequest, otherMark, readGreeting, requestMark } from './detect-protocol';
import { findHello, tlsRecord } from './hello-shape';
import { Refusal } from './refusal';
import { TlsClient } from './tls-client';

/** What a program speaks, as far as it is known when the first of it is passed on. */
export type Spoken = 'tls' | 'other' | 'unsure';

const pieces = () => new Refusal('protocol', 'a request in pieces');
const unreadable = () => new Refusal('protocol', 'unreadable');

/** Of the first line so much is kept; what marks a request is looked for however long it is. */
const maxLine = 8 * 1024;
const markSize = 8;
const signatureSize = 12;

/** Fewer bytes of what may be a greeting go on at once, so that nobody waits for them: a server can't read it without the rest. */
const sure = 7;
/** Blanks between words, of which some servers take any number. */
const blanks = /[\t\v\f\r \x1c-\x1f\x85\xa0]{2,}/g;

/**
 * What a program sends on a connection whose name is checked, on its way to the server. It passes on nothing that could become a request, or
 * a greeting of TLS, for a name that nobody has looked at: a first line that turns out to be a request, TLS that begins later, as after STARTTLS,
 * wherever that is, a second greeting in the same connection. Fails with a Refusal before the byte that matters.
 */
export class ClientGuard extends Transform {
  private tls: TlsClient | undefined;
  /** Of a first line that has no end yet: how it begins, and the last of it. */
  private line: { start: string; end: string } | undefined;
  private head = Buffer.alloc(0);
  /** What came last, from where a greeting may begin, and how much of it has been passed on. */
  private kept = Buffer.alloc(0);
  private gone = 0;
  private first: number | undefined;

  /** `check` receives the name in each TLS ClientHello, except the first one of a stream that begins with TLS; it throws a Refusal. */
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
    line.start = (line.start + own).replace(blanks, ' ').slice(0, maxLine);
    line.end = near.slice(-markSize);
    if (requestMark.test(near) || otherMark.test(near) || isForProxy(line.start)) throw pieces();
    if (end < 0) return;
    if (isOldRequest(line.start)) throw pieces();
    this.line = undefined;
  }

  // In clear text TLS begins where the server says so, after whatever words it understands.
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

  // Who asks for nobody in particular within another protocol gets the server that has spoken so far.
  private checkLater(serverName: string | undefined): void {
    const { first = 0 } = this;
    const isOther = (first < tlsRecord.changeCipherSpec || first > tlsRecord.last) && first < 0x80;
    if (serverName !== undefined || !isOther) this.check(serverName);
  }

  override _flush(done: TransformCallback): void {
    // Half a greeting is none.
    done(this.kept.length > this.gone ? unreadable() : null);
  }
}

const unread = { kind: 'unreadable' } as const;
