import { readHello } from './detect-protocol';
import { clientHello, recordHeader, tlsRecord } from './hello-shape';
import { Refusal } from './refusal';

/** Of the shortest record that a cipher makes. */
const minEncrypted = 24;
const maxRecord = 2 ** 14 + 2048;

/**
 * What a client of TLS sends, record by record. Each greeting in clear text is read, also the second one, which a server asks for by a
 * HelloRetryRequest (RFC 8446, 4.1.4): it could be for another name. A handshake anew within the cipher (RFC 5246, 7.4.1.1) can't be read.
 */
export class TlsClient {
  private held = Buffer.alloc(0);
  /** Bytes of a record that go on as they are. */
  private left = 0;
  /** Messages of a greeting that is not whole yet, and the records that they came in. */
  private hello = Buffer.alloc(0);
  private records: Buffer[] = [];
  /** Bytes of another message in clear text that goes over several records. */
  private message = 0;
  private isCiphered = false;
  private isFinished = false;
  private isFirst = true;

  constructor(private readonly check: (serverName: string | undefined) => void) {}

  /** What may go on of what has come so far. Throws a Refusal. */
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
        // Looked at whole.
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
      // Its Finished; a second one would be a handshake anew.
      if (this.isFinished || content.length < minEncrypted) throw new Refusal('protocol', 'a second handshake');
      this.isFinished = true;
    } else this.skipMessages(content);
    return [record];
  }

  // Once there is a cipher, one that is not made of it: by chance few records look like it. Servers overlook an odd version.
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

  // Messages in clear text that are no greeting: where one ends another begins, which may be one.
  private skipMessages(content: Buffer): void {
    for (let at = 0; at < content.length; ) {
      if (this.message > 0) {
        const size = Math.min(this.message, content.length - at);
        this.message -= size;
        at += size;
        continue;
      }
      // A header in two records, or a greeting behind something else, nobody sends who wants to be read.
      if (content.length - at < 4 || content[at] === clientHello) throw unreadable();
      this.message = content.readUIntBE(at + 1, 3);
      at += 4;
    }
  }
}

const unreadable = () => new Refusal('protocol', 'unreadable');
