import { ClientGuard, type Spoken } from '../../../dist/egress/client-guard';
import { Refusal } from '../../../dist/egress/refusal';
import { clientHello, record } from '../../support/hello';

/** Sends the pieces; returns the bytes that were passed on, the error, and the names that were checked. */
async function send(spoken: Spoken, pieces: readonly (string | Buffer)[]) {
  const checked: (string | undefined)[] = [];
  const guard = new ClientGuard(spoken, (name) => {
    checked.push(name);
    if (name === 'bad.test') throw new Refusal('host', 'bad.test');
  });
  const passed: Buffer[] = [];
  guard.on('data', (chunk: Buffer) => passed.push(chunk));
  const ended = new Promise<Error | undefined>((resolve) => {
    guard.once('error', resolve);
    guard.once('end', () => resolve(undefined));
  });
  for (const piece of pieces) guard.write(Buffer.isBuffer(piece) ? piece : Buffer.from(piece, 'latin1'));
  guard.end();
  const error = await ended;
  return { passed: Buffer.concat(passed), error, checked };
}

const hello = (name: string) => record(22, clientHello({ names: [[0, name]] }));
const changeCipherSpec = record(20, Buffer.of(1));
const data = record(23, Buffer.alloc(100, 1));

describe('a stream that begins with TLS', () => {
  test('is passed on unchanged; its first name was checked before', async () => {
    const all = [hello('good.test'), changeCipherSpec, data];
    expect(await send('tls', all)).toEqual({ passed: Buffer.concat(all), error: undefined, checked: [] });
  });

  test('is passed on unchanged if its records are split', async () => {
    const all = Buffer.concat([hello('good.test'), changeCipherSpec, data]);
    const pieces = Array.from({ length: Math.ceil(all.length / 3) }, (_, index) => all.subarray(index * 3, index * 3 + 3));
    expect(await send('tls', pieces)).toMatchObject({ passed: all, error: undefined });
  });

  test('may repeat its ClientHello, for a name that is checked', async () => {
    expect(await send('tls', [hello('good.test'), hello('good.test'), data])).toMatchObject({ error: undefined, checked: ['good.test'] });
  });

  test('stops before a second ClientHello for a name that is refused', async () => {
    const { passed, error } = await send('tls', [hello('good.test'), changeCipherSpec, hello('bad.test'), data]);
    expect(passed).toEqual(Buffer.concat([hello('good.test'), changeCipherSpec]));
    expect(error).toMatchObject({ reason: 'host', detail: 'bad.test' });
  });

  test('stops before bytes that are not TLS', async () => {
    const { passed, error } = await send('tls', [hello('good.test'), 'GET / HTTP/1.1\r\n']);
    expect(passed).toEqual(hello('good.test'));
    expect(error).toMatchObject({ reason: 'protocol', detail: 'unreadable' });
  });
});

describe('a stream that begins TLS later', () => {
  test('is checked again after the first ClientHello', async () => {
    const { passed, error, checked } = await send('other', ['STARTTLS\r\n', hello('good.test'), changeCipherSpec, hello('bad.test')]);
    expect(passed).toEqual(Buffer.concat([Buffer.from('STARTTLS\r\n'), hello('good.test'), changeCipherSpec]));
    expect(error).toMatchObject({ reason: 'host', detail: 'bad.test' });
    expect(checked).toEqual(['good.test', 'bad.test']);
  });

  test('needs no server name after text', async () => {
    expect(await send('other', ['STARTTLS\r\n', record(22, clientHello({}))])).toMatchObject({ error: undefined, checked: [] });
  });

  test('is checked without a server name after bytes that may be TLS', async () => {
    expect(await send('other', ['\x17\x01', record(22, clientHello({}))])).toMatchObject({ error: undefined, checked: [undefined] });
    expect(await send('other', ['\x80\0', record(22, clientHello({}))])).toMatchObject({ error: undefined, checked: [undefined] });
  });

  test('is refused if its ClientHello is incomplete', async () => {
    const { passed, error } = await send('other', ['STARTTLS\r\n', hello('good.test').subarray(0, 40)]);
    expect(passed.toString()).toBe('STARTTLS\r\n');
    expect(error).toMatchObject({ reason: 'protocol', detail: 'unreadable' });
  });
});

describe('a first line that may become a request', () => {
  test.each<[string, readonly string[]]>([
    ['a mark that is split', ['GET / HT', 'TP/1.1\r\n']],
    ['blanks before it', ['\r\n', '  ', 'GET / HTTP/1.1\r\n']],
    ['a complete line of HTTP/0.9', ['GET /', 'x', '\n']],
    ['a PROXY header that is split', ['PROX', 'Y TCP4 1.1.1.1 2.2.2.2 1 2\r\n']],
  ])('is refused: %s', async (_, pieces) => {
    expect((await send('unsure', pieces)).error).toMatchObject({
      reason: 'protocol',
      detail: 'an HTTP request that began too late to be checked',
    });
  });

  test('is passed on if it does not become a request, and later lines are not examined', async () => {
    const pieces = ['EHLO', ' me\r\n', 'GET / HTTP/1.1\r\n'];
    expect(await send('unsure', pieces)).toMatchObject({ error: undefined, passed: Buffer.from(pieces.join('')) });
  });

  test('is passed on if the stream ends before the line does', async () => {
    expect(await send('unsure', ['GET', ' /x'])).toMatchObject({ error: undefined, passed: Buffer.from('GET /x') });
  });
});
