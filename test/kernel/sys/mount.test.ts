import { fspick, listmount, mount, pivotRoot, statmount, umount2 } from 'nsjs/sys';
import { testIf, thrown } from '../../support';
import { asRoot, hasPrimitive, inNode } from './run';

// Runs a script in a new mount namespace. The result of the calls is checked with findmnt(8).
const inMounts = (script: string) =>
  inNode(
    `const { AT, MS, MNT, MOUNT_ATTR, FSCONFIG, OPEN_TREE, MOVE_MOUNT } = sys;
     const found = (path) => { try { return JSON.parse(execFileSync('findmnt', ['-J', '-o', 'TARGET,FSTYPE,OPTIONS,PROPAGATION', '-M', path], { encoding: 'utf8' })).filesystems[0]; } catch { return undefined; } };
     sys.mount('none', '/mnt', 'tmpfs', 0, 'size=1M');
     for (const name of ['a', 'b', 'c', 'new', 'new/old']) fs.mkdirSync('/mnt/' + name);
     ${script}`,
    asRoot('m'),
  );

test('mount and umount2 mount and unmount a tmpfs and a bind mount', () => {
  const script = `
    sys.mount('none', '/mnt/a', 'tmpfs', MS.NOSUID | MS.NODEV, 'size=64k,mode=700');
    const shownHere = found('/mnt/a');
    sys.mount('/mnt/a', '/mnt/b', null, MS.BIND);
    const bound = found('/mnt/b');
    sys.umount2('/mnt/b'); sys.umount2('/mnt/a', MNT.DETACH);
    console.log([shownHere.fstype, shownHere.options.includes('nosuid,nodev'), shownHere.options.includes('size=64k'), bound.fstype, found('/mnt/a'), found('/mnt/b')].join());
    console.log(failure(() => sys.mount('none', '/mnt/a', 'nonsense')), failure(() => sys.umount2('/mnt/a')));`;
  expect(inMounts(script)).toBe('tmpfs,true,true,tmpfs,,\nENODEV EINVAL');
});

test('fsopen, fsconfig, fsmount and moveMount mount a file system, and fspick reconfigures it', () => {
  const script = `
    const context = sys.fsopen('tmpfs');
    sys.fsconfig(context, FSCONFIG.SET_STRING, 'size', '128k');
    const bad = failure(() => sys.fsconfig(context, FSCONFIG.SET_STRING, 'nonsense', 'x'));
    sys.fsconfig(context, FSCONFIG.CMD_CREATE);
    const tree = sys.fsmount(context, MOUNT_ATTR.NOEXEC);
    sys.moveMount(tree, '', AT.FDCWD, '/mnt/a', MOVE_MOUNT.F_EMPTY_PATH);
    const first = found('/mnt/a').options;
    const picked = sys.fspick(AT.FDCWD, '/mnt/a');
    sys.fsconfig(picked, FSCONFIG.SET_STRING, 'size', '256k');
    sys.fsconfig(picked, FSCONFIG.CMD_RECONFIGURE);
    console.log([bad, first.includes('noexec'), first.includes('size=128k'), found('/mnt/a').options.includes('size=256k')].join());`;
  expect(inMounts(script)).toBe('EINVAL,true,true,true');
});

test('openTree clones a tree, mountSetattr changes it recursively, moveMount mounts beneath', () => {
  const script = `
    sys.mount('none', '/mnt/a', 'tmpfs'); fs.mkdirSync('/mnt/a/sub'); sys.mount('none', '/mnt/a/sub', 'tmpfs');
    const tree = sys.openTree(AT.FDCWD, '/mnt/a', OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.RECURSIVE);
    sys.mountSetattr(tree, '', AT.EMPTY_PATH | AT.RECURSIVE, { set: MOUNT_ATTR.RDONLY, propagation: MS.PRIVATE });
    sys.moveMount(tree, '', AT.FDCWD, '/mnt/b', MOVE_MOUNT.F_EMPTY_PATH);
    const write = (path) => failure(() => fs.writeFileSync(path, 'x'));
    console.log([write('/mnt/b/x'), write('/mnt/b/sub/x'), write('/mnt/a/sub/x'), found('/mnt/b/sub').propagation].join());
    const other = sys.fsopen('tmpfs'); sys.fsconfig(other, FSCONFIG.CMD_CREATE);
    sys.moveMount(sys.fsmount(other), '', AT.FDCWD, '/mnt/b', MOVE_MOUNT.F_EMPTY_PATH | MOVE_MOUNT.BENEATH);
    sys.umount2('/mnt/b', MNT.DETACH);
    console.log(write('/mnt/b/x'));`;
  expect(inMounts(script)).toBe('EROFS,EROFS,none,private\nnone');
});

test('the asynchronous functions act on the same mounts from another thread', () => {
  const script = `
    await sys.mountAsync('none', '/mnt/a', 'tmpfs', 0, 'size=64k');
    const context = sys.fsopen('tmpfs');
    await sys.fsconfigAsync(context, FSCONFIG.CMD_CREATE);
    sys.moveMount(sys.fsmount(context), '', AT.FDCWD, '/mnt/b', MOVE_MOUNT.F_EMPTY_PATH);
    const tree = await sys.openTreeAsync(AT.FDCWD, '/mnt/a', OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC);
    sys.moveMount(tree, '', AT.FDCWD, '/mnt/c', MOVE_MOUNT.F_EMPTY_PATH);
    const shownTypes = ['a', 'b', 'c'].map((name) => found('/mnt/' + name).fstype).join('+');
    await sys.umount2Async('/mnt/a');
    const errors = await Promise.all([sys.mountAsync('none', '/mnt/a', 'nonsense'), sys.umount2Async('/mnt/a')].map((one) => one.catch(({ code }) => code)));
    console.log([shownTypes, found('/mnt/a'), ...errors].join());`;
  expect(inMounts(script)).toBe('tmpfs+tmpfs+tmpfs,,ENODEV,EINVAL');
});

testIf(hasPrimitive('open_tree_attr'), 'open_tree_attr', 'openTreeAttr clones a tree and sets its attributes in one call', () => {
  const script = `
    const tree = sys.openTreeAttr(AT.FDCWD, '/mnt', OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC, { set: MOUNT_ATTR.RDONLY });
    sys.moveMount(tree, '', AT.FDCWD, '/mnt/a', MOVE_MOUNT.F_EMPTY_PATH);
    console.log(found('/mnt/a').options.startsWith('ro'));`;
  expect(inMounts(script)).toBe('true');
});

test('pivotRoot changes the root directory', () => {
  const script = `
    sys.mount('none', '/mnt/new', 'tmpfs'); fs.mkdirSync('/mnt/new/old'); fs.writeFileSync('/mnt/new/here', '');
    const bad = failure(() => sys.pivotRoot('/mnt/a', '/mnt/a'));
    sys.pivotRoot('/mnt/new', '/mnt/new/old');
    process.chdir('/');
    console.log([bad, fs.readdirSync('/').join('+'), fs.existsSync('/old/usr')].join());`;
  expect(inMounts(script)).toBe('EINVAL,here+old,true');
});

test('listmount and statmount return the mounts that findmnt shows', () => {
  const script = `
    const all = JSON.parse(execFileSync('findmnt', ['-J', '-l', '-o', 'TARGET,FSTYPE,ID'], { encoding: 'utf8' })).filesystems;
    const ids = sys.listmount();
    const told = ids.map((id) => sys.statmount(id));
    const normal = (list) => list.map(({ id, target, fstype }) => [id, target, fstype].join(' ')).sort().join('\\n');
    const same = normal(told.map(({ oldId, point, fsType }) => ({ id: oldId, target: point, fstype: fsType }))) === normal(all.filter(({ fstype }) => fstype !== 'rootfs'));
    const options = sys.statmount(ids.at(-1), sys.STATMOUNT.MNT_OPTS | sys.STATMOUNT.MNT_POINT);
    console.log([same, told.length > 3, options.point, options.options.includes('size='), 'fsType' in options].join());`;
  expect(inMounts(script)).toBe('true,true,/mnt,true,false');
});

test('without privileges or with bad arguments each call throws the error of the kernel', () => {
  expect(thrown(() => statmount(1n))).toMatchObject({ code: expect.stringMatching(/EINVAL|ENOENT/), syscall: 'statmount' });
  expect(thrown(() => listmount(1n)).code).toMatch(/EINVAL|ENOENT/);
  expect(thrown(() => mount('none', '/nonexistent', 'tmpfs')).code).toMatch(/ENOENT|EPERM/);
  expect(thrown(() => umount2('/nonexistent')).code).toMatch(/ENOENT|EPERM/);
  expect(thrown(() => pivotRoot('/nonexistent', '/')).code).toMatch(/ENOENT|EPERM/);
  expect(thrown(() => fspick(-100, '/nonexistent')).code).toMatch(/ENOENT|EPERM/);
  expect(thrown(() => mount('a\0b', '/', null)).code).toBe('EINVAL');
});
