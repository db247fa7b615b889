// Hints for operations that the kernel refused.
import { hintFor } from '../../../dist/launcher/hints';
import type { OpName } from '../../../dist/plan/ops';

test.each<[OpName, string, string]>([
  ['Clone', 'EPERM', 'nsjs probe'],
  ['Clone', 'ENOSPC', 'user.max_user_namespaces'],
  ['StartProgram', 'EAGAIN', 'limits.pids'],
  ['MoveMount', 'ELOOP', 'name the real path'],
  ['MakeDir', 'EROFS', 'read-only mount'],
  ['Chdir', 'ENOENT', 'add a mount'],
  ['WriteFile', 'EBUSY', 'exceeds the limit'],
])('%s with %s has a hint', (name, errno, part) => {
  expect(hintFor(name, errno)).toContain(part);
});

test.each<[OpName, string]>([
  ['Clone', 'EIO'],
  ['Hold', 'EPERM'],
  ['Mask', 'errno 999'],
])('%s with %s has no hint', (name, errno) => {
  expect(hintFor(name, errno)).toBeUndefined();
});
