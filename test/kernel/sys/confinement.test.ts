import { readFileSync } from 'node:fs';
import * as sys from 'nsjs/sys';
import { thrown } from '../../support';
import { asRoot, inNode } from './run';

describe('capabilities', () => {
  test('capget returns the sets that /proc shows', () => {
    const { effective, permitted, inheritable } = sys.capget();
    const status = readFileSync('/proc/thread-self/status', 'latin1');
    const shown = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1]}`);
    expect([effective, permitted, inheritable]).toEqual([shown('CapEff'), shown('CapPrm'), shown('CapInh')]);
    expect(thrown(() => sys.capget(2 ** 22))).toMatchObject({ code: 'ESRCH' });
  });

  test('capset drops capabilities that cannot be regained', () => {
    const script = `
      const all = sys.capget();
      const few = { effective: 1n << 18n, permitted: (1n << 18n) | 1n, inheritable: 0n };
      sys.capset(few);
      console.log([/CapEff:\\s+(\\w+)/.exec(shown('/proc/thread-self/status'))[1], execFileSync('capsh', ['--decode=' + (1n << 18n).toString(16)], { encoding: 'utf8' }).includes('sys_chroot'), failure(() => sys.capset(all))].join());`;
    expect(inNode(script, asRoot())).toBe('0000000000040000,true,EPERM');
  });
});

describe('confinement of a thread', () => {
  test('seccompSetModeFilter installs a compiled filter, which is enforced', () => {
    const script = `
      const { compile } = require('../../../dist/seccomp/compile.js');
      const { allow, errno } = require('../../../dist/seccomp/policy.js');
      const filter = compile({ rules: [{ names: ['sethostname'], action: errno(99), why: 'test' }], otherwise: allow }, process.arch);
      const before = failure(() => sys.sethostname('x'.repeat(65)));
      sys.prctl(sys.PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      console.log([sys.seccompSetModeFilter(filter), failure(() => sys.sethostname('x')), /Seccomp:\\s+(\\d)/.exec(shown('/proc/thread-self/status'))[1], failure(() => sys.seccompSetModeFilter(Buffer.alloc(8)))].join());`;
    expect(inNode(script)).toBe('0,EADDRNOTAVAIL,2,EINVAL');
  });

  test('seccompActionAvail matches the list of the kernel', () => {
    const listed = readFileSync('/proc/sys/kernel/seccomp/actions_avail', 'latin1');
    expect(sys.seccompActionAvail(0x7fff0000)).toBe(listed.includes('allow'));
    expect(sys.seccompActionAvail(0x7fc00000)).toBe(listed.includes('user_notif'));
    expect(sys.seccompActionAvail(0x12340000)).toBe(false);
  });

  test('landlock refuses access that no rule allows', () => {
    const script = `
      const { READ_FILE, READ_DIR } = sys.LANDLOCK_ACCESS_FS;
      const ruleset = sys.landlockCreateRuleset({ handledAccessFs: READ_FILE | READ_DIR, handledAccessNet: sys.LANDLOCK_ACCESS_NET.CONNECT_TCP });
      const usr = fs.openSync('/usr', 0o10000000);
      sys.landlockAddRule(ruleset, { access: READ_FILE | READ_DIR, pathFd: usr });
      sys.landlockAddRule(ruleset, { access: sys.LANDLOCK_ACCESS_NET.CONNECT_TCP, port: 443 });
      const bad = failure(() => sys.landlockAddRule(ruleset, { access: 1 << 30, pathFd: usr }));
      sys.prctl(sys.PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      sys.landlockRestrictSelf(ruleset);
      console.log([bad, failure(() => fs.readFileSync('/etc/passwd')), failure(() => fs.readdirSync('/usr')), failure(() => sys.landlockRestrictSelf(0)) !== 'none'].join());`;
    expect(inNode(script)).toBe('EINVAL,EACCES,none,true');
    expect(sys.landlockAbi()).toBeGreaterThan(0);
  });
});
