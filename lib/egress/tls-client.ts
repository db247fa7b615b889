import { readHello } from './detect-protocol';
import { clientHello, recordHeader, tlsRecord } from './hello-shape';
import { Refusal } from './refusal';

/** Bytes in the shortest record that a cipher produces. */
const minEncrypted = 24;
const maxRecord = 2 ** 14 + 2048;

/**
 * Checks the bytes that a TLS client sends, record by record. Each ClientHello in clear text is read, including the
 * second one, which a server requests by a HelloRetryRequest (RFC 8446, 4.1.4): it could be for another name. A
 * renegotiation inside the encrypted connection (RFC 5246, 7.4.1.1) cannot be read and is refused.
 */
export class TlsClient {
  private held = Buffer.alloc(0);
  /** Remaining bytes of a record that is passed on unchanged. */
  private left = 0;
  /** Content of a ClientHello that is not complete yet; `records` are the records that it came in. */
  private hello = Buffer.alloc(0);
  private records: Buffer[] = [];
  /** Remaining bytes of another clear-text message that spans several records. */
  private message = 0;
  private isCiphered = false;
  private isFinished = false;
  private isFirst = true;

  constructor(private readonly check: (serverName: string | undefined) => void) {}

  /** Takes the next bytes and returns those that may be passed on. Throws a Refusal. */
  take(chunk: Buffer): Buffer {
    const bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    const passed: Buffer[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.left > 0) {
        const size = Math.min(this.left, bytes.length - at);
        passed.push(bytes.subarray(at, at + size));
        this.left -= size;
        at += size;
        continue;
      }
      if (bytes.length - at < recordHeader) break;
      const length = bytes.readUInt16BE(at + 3);
      const end = at + recordHeader + length;
      if (bytes[at + 1] !== 3 || length > maxRecord) throw unreadable();
      if (bytes[at] === tlsRecord.handshake) {
        // A handshake record is checked as a whole.
        if (end > bytes.length) break;
        passed.push(...this.handshake(bytes.subarray(at, end)));
        at = end;
      } else {
        this.other(bytes[at] ?? 0, length);
        this.left = recordHeader + length;
      }
    }
    this.held = Buffer.from(bytes.subarray(at));
    return Buffer.concat(passed);
  }

  private other(type: number, length: number): void {
    if (this.records.length > 0 || type < tlsRecord.changeCipherSpec || type > tlsRecord.last) throw unreadable();
    if (type === tlsRecord.changeCipherSpec) {
      if (length !== 1 || this.message > 0) throw unreadable();
      this.isCiphered = true;
    }
    if (type === tlsRecord.data) {
      this.isCiphered = true;
      this.isFinished = true;
    }
  }

  private handshake(record: Buffer): readonly Buffer[] {
    const content = record.subarray(recordHeader);
    if (content.length === 0) throw unreadable();
    if (this.records.length > 0 || this.isGreeting(content)) return this.greeting(record, content);
    if (this.isCiphered) {
      // The first encrypted handshake record is the client's Finished. A second one would be a renegotiation.
      if (this.isFinished || content.length < minEncrypted) throw new Refusal('protocol', 'a second handshake');
      this.isFinished = true;
    } else this.skipMessages(content);
    return [record];
  }

  // After encryption has begun, this detects a ClientHello that is not encrypted; few encrypted records look like one
  // by chance. Servers ignore an unusual version.
  private isGreeting(content: Buffer): boolean {
    if (this.message > 0) return false;
    if (!this.isCiphered) return content[0] === clientHello;
    if (content.length < 6 || content[0] !== clientHello) return false;
    const isUsual = content[1] === 0 && content[4] === 3 && (content[5] ?? 0) <= 4;
    return isUsual || content.readUIntBE(1, 3) + 4 <= content.length;
  }

  private greeting(record: Buffer, content: Buffer): readonly Buffer[] {
    this.hello = Buffer.concat([this.hello, content]);
    this.records.push(Buffer.from(record));
    const found = readHello(this.hello);
    if (found.kind === 'more') return [];
    if (found.kind !== 'tls') throw unreadable();
    if (!this.isFirst) this.check(found.serverName);
    this.isFirst = false;
    const all = this.records;
    this.records = [];
    this.hello = Buffer.alloc(0);
    return all;
  }

  // Skips clear-text messages other than a ClientHello. Another message, which may be a ClientHello, begins where one
  // ends.
  private skipMessages(content: Buffer): void {
    for (let at = 0; at < content.length; ) {
      if (this.message > 0) {
        const size = Math.min(this.message, content.length - at);
        this.message -= size;
        at += size;
        continue;
      }
      // A legitimate client does not split a message header across two records or put a ClientHello behind another
      // message.
      if (content.length - at < 4 || content[at] === clientHello) throw unreadable();
      this.message = content.readUIntBE(at + 1, 3);
      at += 4;
    }
  }
}

const unreadable = () => new Refusal('protocol', 'unreadable');
