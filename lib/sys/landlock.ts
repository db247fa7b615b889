import { call } from './call';

/** What a ruleset takes away unless a rule gives it back; bits of LANDLOCK_ACCESS_FS, LANDLOCK_ACCESS_NET, LANDLOCK_SCOPE. */
export interface LandlockRuleset {
  readonly handledAccessFs?: number;
  /** ABI 4, Linux 6.7. */
  readonly handledAccessNet?: number;
  /** ABI 6, Linux 6.12. */
  readonly scoped?: number;
}

const versionFlag = 1;
const sizes = [8, 16, 24] as const;

/** Newest version of Landlock that the kernel has, landlock(7), Linux 5.13. Throws SysError: ENOSYS, EOPNOTSUPP where it is off. */
export function landlockAbi(): number {
  return call('landlock_create_ruleset', null, 0, versionFlag);
}

/** A ruleset, landlock_create_ruleset(2), Linux 5.13: a descriptor. Throws SysError: EINVAL for rights the kernel does not know, E2BIG. */
export function landlockCreateRuleset({ handledAccessFs = 0, handledAccessNet = 0, scoped = 0 }: LandlockRuleset): number {
  const words = BigUint64Array.from([handledAccessFs, handledAccessNet, scoped].map(BigInt));
  const size = scoped !== 0 ? sizes[2] : handledAccessNet !== 0 ? sizes[1] : sizes[0];
  return call('landlock_create_ruleset', words, size, 0);
}

const ruleTypes = { path: 1, port: 2 } as const;

/** Gives rights back: below a file or directory (an O_PATH descriptor), or on a TCP port. landlock_add_rule(2), Linux 5.13. Throws SysError: EINVAL, EBADF, ENOMSG. */
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
 * Puts the calling thread, and what it starts, under a ruleset: landlock_restrict_self(2), Linux 5.13. Node's other threads
 * stay free, so this does not confine a Node process. Needs no_new_privs. Throws SysError: EPERM, E2BIG.
 */
export function landlockRestrictSelf(rulesetFd: number): void {
  call('landlock_restrict_self', rulesetFd, 0);
}
