import fc from 'fast-check';
import { failures, parseIo, parseKeyed, parseNetDev, parsePressure } from '../../../dist/cgroup/files';
import { directoryOf, parseMemberships, parseMounts } from '../../../dist/cgroup/hierarchies';

describe('parsers', () => {
  test('memberships and mounts of version 1, 2 and both are parsed', () => {
    expect(parseMemberships('5:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c d\n')).toEqual([
      { controllers: ['cpu', 'cpuacct'], path: '/a' },
      { controllers: ['name=systemd'], path: '/b' },
      { controllers: [], path: '/c d' },
    ]);
    const [mount] = parseMounts(
      '30 23 0:26 /own /sys/fs/cgroup/my\\040mem rw shared:9 - cgroup cgroup rw,memory\n31 1 8:1 / / rw - ext4 /dev/sda1 rw',
    );
    expect(mount).toEqual({ version: 1, directory: '/sys/fs/cgroup/my mem', root: '/own', options: ['rw', 'memory'] });
    if (mount) expect(directoryOf(mount, '/own/sub')).toBe('/sys/fs/cgroup/my mem/sub');
  });

  test('files of both versions are parsed', () => {
    expect(parseKeyed('usage_usec 12\nuser_usec 3\n\nodd line here\n').get('usage_usec')).toBe(12);
    expect(parseIo('8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=0 rios=1 wios=0')).toEqual({
      read: 11,
      write: 20,
      readOperations: 2,
      writeOperations: 2,
    });
    expect(parseIo('8:0 Read 5\n8:0 Write 6\n8:0 Sync 11\n8:0 Total 11\nTotal 11')).toMatchObject({ read: 5, write: 6 });
    expect(parsePressure('some avg10=0.10 avg60=0.20 avg300=0.30 total=1500\n')).toEqual({
      some: { avg10: 0.1, avg60: 0.2, avg300: 0.3, totalMs: 1.5 },
    });
    const device =
      'Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n';
    expect(parseNetDev(device)).toEqual({ lo: { received: 1, receivedPackets: 2, sent: 3, sentPackets: 4 } });
  });

  test('any text is parsed without an error', () => {
    const lines = fc.array(
      fc.oneof(fc.string(), fc.constantFrom('rbytes=1', 'some avg10=0 avg60=0 avg300=0 total=1', 'a 1', '0::/x', 'lo: 1 2')),
    );
    fc.assert(
      fc.property(lines, (parts) => {
        const text = parts.join('\n');
        for (const parse of [parseKeyed, parseIo, parsePressure, parseNetDev, parseMemberships, parseMounts]) parse(text);
      }),
    );
  });
});

describe('files of the kernel', () => {
  test('only lines of a name and a value are read', () => {
    expect([...parseKeyed('low 0\nmax 3\n\nsolo\na b c\n')]).toEqual([
      ['low', 0],
      ['max', 3],
    ]);
  });

  test.each(['', 'Total 0', '8:0 Discard 5', '8:0 dbytes=9 dios=9', '8:0 Read'])('%p has no reads and writes', (text) => {
    expect(parseIo(text)).toEqual({ read: 0, write: 0, readOperations: 0, writeOperations: 0 });
  });

  test('pressure of some and of all tasks is parsed', () => {
    const line = 'avg10=1.00 avg60=2.50 avg300=100.00 total=2000000';
    const pressure = { avg10: 1, avg60: 2.5, avg300: 100, totalMs: 2000 };
    expect(parsePressure(`some ${line}\nfull ${line}\n`)).toEqual({ some: pressure, full: pressure });
    expect(parsePressure('')).toEqual({});
  });

  test('every interface has its bytes and packets, and missing columns are 0', () => {
    const head = 'Inter-|\n face |\n';
    const none = { received: 0, receivedPackets: 0, sent: 0, sentPackets: 0 };
    expect(parseNetDev(`${head}    lo: 5\n  eth0:1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\nno interface\n`)).toEqual({
      lo: { ...none, received: 5 },
      eth0: { received: 1, receivedPackets: 2, sent: 3, sentPackets: 4 },
    });
    expect(parseNetDev(head)).toEqual({});
  });

  test.each([
    [undefined, 5, 5, undefined],
    [3, undefined, undefined, 3],
    [3, 4, undefined, 7],
    [0, 0, 2, 2],
    [3, undefined, 2, 3],
  ])('memory limits reached: %p alone, %p with swap, %p killed: %p failures', (memory, withSwap, oomKills, count) => {
    expect(failures(memory, withSwap, oomKills)).toBe(count);
  });
});
