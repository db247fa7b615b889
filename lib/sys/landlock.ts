import { call } from './call';

/**
 * Rights that a ruleset denies unless a rule grants them: bits of LANDLOCK_ACCESS_FS, LANDLOCK_ACCESS_NET and
 * LANDLOCK_SCOPE.
 */
export interface LandlockRuleset {
  readonly handledAccessFs?: number;
  /** Needs ABI 4, Linux 6.7. */
  readonly handledAccessNet?: number;
  /** Needs ABI 6, Linux 6.12. */
  readonly scoped?: number;
}

const versionFlag = 1;
const sizes = [8, 16, 24] as const;

/**
 * Returns the kernel's Landlock ABI version, landlock(7), Linux 5.13. Throws SysError: ENOSYS, EOPNOTSUPP if Landlock
 * is disabled.
 */
export function landlockAbi(): number {
  return call('landlock_create_ruleset', null, 0, versionFlag);
}

/**
 * Creates a ruleset and returns its descriptor, landlock_create_ruleset(2), Linux 5.13. Throws SysError: EINVAL for
 * rights that the kernel does not know, E2BIG.
 */
export function landlockCreateRuleset({ handledAccessFs = 0, handledAccessNet = 0, scoped = 0 }: LandlockRuleset): number {
  const words = BigUint64Array.from([handledAccessFs, handledAccessNet, scoped].map(BigInt));
  const size = scoped !== 0 ? sizes[2] : handledAccessNet !== 0 ? sizes[1] : sizes[0];
  return call('landlock_create_ruleset', words, size, 0);
}

const ruleTypes = { path: 1, port: 2 } as const;

/**
 * Grants rights on a file or below a directory (an O_PATH descriptor), or on a TCP port, landlock_add_rule(2), Linux
 * 5.13. Throws SysError: EINVAL, EBADF, ENOMSG.
 */
export function landlockAddRule(
  rulesetFd: number,
  rule: { readonly access: number; readonly pathFd: number } | { readonly access: number; readonly port: number },
): void {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(rule.access), 0);
  if ('pathFd' in rule) bytes.writeInt32LE(rule.pathFd, 8);
  else bytes.writeBigUInt64LE(BigInt(rule.port), 8);
  call('landlock_add_rule', rulesetFd, 'pathFd' in rule ? ruleTypes.path : ruleTypes.port, bytes, 0);
}

/**
 * Applies a ruleset to the calling thread and to its future children, landlock_restrict_self(2), Linux 5.13. Node's
 * other threads stay unrestricted, so this does not confine a Node process. Needs no_new_privs. Throws SysError: EPERM,
 * E2BIG.
 */
export function landlockRestrictSelf(rulesetFd: number): void {
  call('landlock_restrict_self', rulesetFd, 0);
}
