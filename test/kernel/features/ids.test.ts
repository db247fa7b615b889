// Sandboxes with more than one id: ranges of ids for root, subordinate ids for other users.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SandboxOptions, spawnIsolated } from 'nsjs';
import { parseSubids } from '../../../dist/host/subids';
import { isRoot, sh, temporaryDirectory, testIf, thrown } from '../../support';

const capabilities = ['CAP_CHOWN', 'CAP_SETUID', 'CAP_SETGID', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER'] as const;
const files = 'id -u; touch /tmp/f && chown 1234:4321 /tmp/f && stat -c %u:%g /tmp/f';
const script = `${files}; setpriv --reuid=33 --regid=33 --clear-groups sh -c "id -u; grep CapEff /proc/self/status"`;
const answer = '0\n1234:4321\n33\nCapEff:\t0000000000000000';

describe('as root', () => {
  const range = { user: { ids: 'range' }, capabilities } as const;

  testIf(isRoot, 'root', 'a sandbox has 65,536 ids of its own, and none of them is root of the host', async () => {
    expect(await sh(script, range)).toBe(answer);
    const [inside = 1, outside = 0, count] = (await sh('cat /proc/self/uid_map', range)).trim().split(/\s+/).map(Number);
    expect([inside, count]).toEqual([0, 65_536]);
    expect(outside).toBeGreaterThanOrEqual(2_000_000_000);
  });

  testIf(isRoot, 'root', 'no two sandboxes share an id, and the report contains the id of the program on the host', async () => {
    const running = [1, 2].map(() => spawnIsolated('sleep', ['5'], { user: { ids: 'range', uid: 33, gid: 33 } }));
    await Promise.all(running.map((one) => one.spawned));
    const ids = running.map((one) => statSync(`/proc/${one.pid}`).uid);
    expect(running.map((one) => one.report?.hostId.uid)).toEqual(ids);
    await Promise.all(running.map((one) => one.stop(0)));
    const [one = 0, two = 0] = ids;
    expect(Math.abs(one - two)).toBeGreaterThanOrEqual(65_536);
    expect(one % 65_536).toBe((2_000_000_000 + 33) % 65_536);
  });

  testIf(isRoot, 'root', 'a program with any of the ids can open /dev/stdout', async () => {
    expect(await sh('echo hi > /dev/stdout', { user: { ids: 'range', uid: 33, gid: 33 } })).toBe('hi');
  });

  testIf(isRoot, 'root', 'files of a bind have the same ids inside and on the host, and set-id bits are refused', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'f'), '');
    execFileSync('chown', ['33:33', join(directory.path, 'f')]);
    const options: SandboxOptions = { ...range, mounts: [{ type: 'bind', source: directory.path, target: '/w', readonly: false }] };
    expect(await sh('stat -c %u:%g /w/f; touch /w/g; chown 42:42 /w/g; chmod 4755 /w/g || echo refused', options)).toBe('33:33\nrefused');
    expect(statSync(join(directory.path, 'g')).uid).toBe(42);
    directory.remove();
  });

  testIf(isRoot, 'root', 'the program can neither create user namespaces nor change mounts', async () => {
    expect(await sh('unshare -U true 2>/dev/null || echo no; unshare -m true 2>/dev/null || echo no', range)).toBe('no\nno');
    // The seccomp filter is one barrier. Without it, the limit on user namespaces still applies.
    const open = { ...range, seccomp: { allow: ['unshare', 'clone', 'mount', 'umount2'] }, landlock: 'off' } as const;
    expect(await sh('unshare -U true 2>&1 || true; umount /tmp 2>&1 || true', open)).toMatch(
      /No space left[\s\S]*(not permitted|superuser|must be root)/i,
    );
    expect(thrown(() => spawnIsolated('true', [], { user: { ids: 'range' }, capabilities: ['CAP_SYS_ADMIN'] })).message).toMatch(
      /^capabilities: .*CAP_SYS_ADMIN would give access/,
    );
  });

  testIf(isRoot, 'root', 'the caller can supply id maps', async () => {
    const ids = {
      uids: [
        { inside: 0, outside: 1_800_000_000, count: 10 },
        { inside: 500, outside: 1_800_001_000, count: 5 },
      ],
      gids: [{ inside: 0, outside: 1_800_000_000, count: 1 }],
    };
    expect((await sh('cat /proc/self/uid_map', { user: { ids, uid: 502 } })).replace(/ +/g, ' ')).toBe(
      ' 0 1800000000 10\n 500 1800001000 5',
    );
  });
});

describe('invalid maps', () => {
  const entry = (inside: number, outside: number, count: number) => ({ inside, outside, count });
  test.each<[string, unknown, string]>([
    ['the root of the host', [entry(0, 0, 1)], 'user.ids.uids[0].outside: is 0'],
    ['no 0', [entry(1, 1000, 1)], 'user.ids.uids: must map id 0'],
    ['twice inside', [entry(0, 1000, 5), entry(4, 5000, 1)], 'user.ids.uids: inside 4 is mapped twice'],
    ['twice outside', [entry(0, 1000, 5), entry(9, 1002, 1)], 'user.ids.uids: outside 1002 is mapped twice'],
    ['too far', [entry(0, 4294967290, 10)], 'user.ids.uids[0]: exceeds the largest id'],
    ['nothing', [], 'user.ids.uids: expected 1 to 340'],
  ])('a map is refused: %s', (_, uids, message) => {
    expect(
      thrown(() => spawnIsolated('true', [], { user: { ids: { uids, gids: [entry(0, 1000, 1)] } } as NonNullable<SandboxOptions['user']> }))
        .message,
    ).toContain(message);
  });

  test('maps are refused together with an inner namespace or an unmapped uid', () => {
    const ids = { uids: [entry(0, 1000, 1)], gids: [entry(0, 1000, 1)] };
    expect(thrown(() => spawnIsolated('true', [], { user: { ids, inner: true } })).message).toMatch(/^user.inner: /);
    if (isRoot) expect(thrown(() => spawnIsolated('true', [], { user: { ids, uid: 7 } })).message).toMatch(/^user.uid: 7/);
  });
});

test('invalid lines and entries of other users are ignored when subordinate ids are read', () => {
  const text = 'me:100000:65536\n# me:1:1\nother:200000:65536\n1000:300000:10\nme:0:5\nme:x:5\nme:1\nme:4294967290:10\n:1:1\nme:500000:1\n';
  expect(parseSubids(text, 'me', 1000)).toEqual([
    { start: 100_000, count: 65_536 },
    { start: 300_000, count: 10 },
    { start: 500_000, count: 1 },
  ]);
  expect(parseSubids(text, undefined, 5)).toEqual([]);
});

testIf(!isRoot, 'an unprivileged user', 'a range without subordinate ids is refused, and the error shows how to add them', () => {
  if (readFileSync('/etc/subuid', 'utf8').includes(`${process.geteuid?.()}`)) return;
  expect(thrown(() => spawnIsolated('true', [], { user: { ids: 'range' } })).message).toMatch(/^user.ids: .*usermod --add-subuids/);
});

// The test user and its subordinate ids exist only in a mount namespace that ends with the test: files are mounted over
// /etc/passwd, /etc/subuid and /etc/subgid.
testIf(isRoot && existsSync('/usr/bin/newuidmap'), 'root and newuidmap', 'a user can use the ids that /etc/subuid grants', () => {
  const directory = temporaryDirectory();
  chmodSync(directory.path, 0o755);
  const put = (name: string, text: string) => writeFileSync(join(directory.path, name), text);
  put('passwd', `${readFileSync('/etc/passwd', 'utf8')}nsjstest:x:54399:54399::/:/bin/sh\n`);
  put('subid', 'nsjstest:1700000000:65536\n');
  mkdirSync(join(directory.path, 'build/Release'), { recursive: true });
  cpSync(join(__dirname, '../../../dist'), join(directory.path, 'dist'), { recursive: true });
  cpSync(join(__dirname, '../../../build/Release/nsjs.node'), join(directory.path, 'build/Release/nsjs.node'));
  const run = (ids: string, line: string) => `
    const { spawnIsolated } = require(${JSON.stringify(join(directory.path, 'dist'))});
    (async () => {
      const options = { user: { ids: '${ids}' }, capabilities: ${JSON.stringify(capabilities)} };
      const { stdout, report } = await spawnIsolated('/bin/sh', ['-c', ${JSON.stringify(`${line}; cat /proc/self/uid_map; grep Groups /proc/self/status`)}], options);
      console.log(stdout + '\\nhost ' + report.hostId.uid);
    })().catch((error) => { console.log(error.message); });`;
  const asUser = (ids: string, line: string) =>
    execFileSync(
      'unshare',
      [
        '-m',
        '/bin/sh',
        '-c',
        'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/subid" /etc/subuid && mount --bind "$1/subid" /etc/subgid && cd / && exec setpriv --reuid=54399 --regid=54399 --clear-groups -- "$2" -e "$3"',
        'sh',
        directory.path,
        process.execPath,
        run(ids, line),
      ],
      { encoding: 'utf8' },
    ).replace(/[ \t]+/g, ' ');
  try {
    expect(asUser('range', script)).toBe(`${answer.replace('\t', ' ')}\n 0 54399 1\n 1 1700000000 65536\nGroups: \nhost 54399\n`);
    expect(asUser('keep', files)).toBe(
      `54399\n1234:4321\n 0 1700000000 54399\n 54399 54399 1\n 54400 1700054399 11137\nGroups: \nhost 54399\n`,
    );
  } finally {
    directory.remove();
  }
});
