// Messages from the launcher: one or more records, each with its text.
import { messageSize, readRecords, recordKind, recordSize } from '../../../dist/launcher/record';

function record(kind: number, text = '', words: Readonly<Record<number, number>> = {}): Buffer {
  const bytes = Buffer.alloc(Math.ceil((recordSize + Buffer.byteLength(text)) / 8) * 8);
  bytes.writeUInt32LE(kind, 0);
  bytes.writeInt32LE(Buffer.byteLength(text), 7 * 4);
  for (const [index, value] of Object.entries(words)) bytes.writeInt32LE(value, Number(index) * 4);
  bytes.write(text, recordSize);
  return bytes;
}

/** Reads a message from a larger buffer, which contains other bytes after it. */
function received(...parts: readonly Buffer[]): ReturnType<typeof readRecords> {
  const message = Buffer.concat(parts);
  const buffer = Buffer.allocUnsafeSlow(messageSize).fill(0xff);
  message.copy(buffer);
  return readRecords(buffer, message.length);
}

test('one record is read', () => {
  const [only, ...more] = received(record(recordKind.exited, '', { 3: -2, 5: 1, 6: 7, 42: 9 }));
  expect(more).toEqual([]);
  expect(only).toMatchObject({ kind: recordKind.exited, err: -2, code: 1, status: 7, program: 9, text: '', cause: undefined });
});

test('numbers of 64 bits are read', () => {
  const bytes = record(recordKind.started);
  bytes.writeBigUInt64LE(4_026_531_840n, 32 + 3 * 8);
  bytes.writeBigUInt64LE(2n ** 40n, 32 + 2 * 8);
  expect(received(bytes)[0]).toMatchObject({ maxRss: 2 ** 50, namespaces: { user: 4_026_531_840 } });
});

test.each([0, 1, 7, 8, 9, 3072])('several records are read, with %d bytes of text between them', (size) => {
  const text = 'x'.repeat(size);
  const found = received(record(recordKind.text, text), record(recordKind.text, 'é'), record(recordKind.ended, '', { 43: 4 }));
  expect(found.map(({ kind, text: read }) => [kind, read])).toEqual([
    [recordKind.text, text],
    [recordKind.text, 'é'],
    [recordKind.ended, ''],
  ]);
  expect(found[2]?.cause).toBe('memory');
});

test('truncated records are left out, and truncated text is shortened', () => {
  expect(received(Buffer.alloc(0))).toEqual([]);
  expect(received(record(1).subarray(0, recordSize - 1))).toEqual([]);
  expect(received(record(1), record(2).subarray(0, 8)).map(({ kind }) => kind)).toEqual([1]);
  expect(received(record(recordKind.text, 'abcdef').subarray(0, recordSize + 3))[0]?.text).toBe('abc');
});
