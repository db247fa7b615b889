import { OptionError } from '../base/errors';
import { parseBoolean } from '../base/parse';
import { noSlot } from '../plan/operation';
import { feature } from './feature';
import { isBeside } from './network-kind';
import { filterFor } from './seccomp-filter';
import type { Spec } from './spec';

export interface NestedUserNamespacesOptions {
  /**
   * Whether the program can create user namespaces. Default false: the inner user namespace uses up
   * `user.max_user_namespaces` of the outer one, so unshare(2) and clone(2) fail with ENOSPC regardless of the seccomp
   * filter (namespaces(7), Linux 4.9). Where /proc/sys cannot be written, only the seccomp filter refuses them, and the
   * report lists that.
   */
  readonly nestedUserNamespaces?: boolean;
}

/** Returns whether the seccomp filter by itself keeps the program from creating user namespaces. */
export const refusedByFilter = (spec: Spec): boolean => spec.seccomp !== 'off' && filterFor(spec).refusesUserNamespaces;

const limitFile = '/proc/sys/user/max_user_namespaces';

export const nestedUserNamespaces = feature({
  key: 'nestedUserNamespaces',
  parse: (value = false, at): boolean => parseBoolean(value, at),
  emit(plan, spec, context) {
    if (spec.nestedUserNamespaces) return;
    const { namespaces, user } = spec;
    const isFiltered = refusedByFilter(spec);
    const limitTo = (count: '0' | '1') => {
      const limit = () => plan.op('inside', 'nestedUserNamespaces', 'WriteFile', noSlot, limitFile, count);
      // By default both the limit and the filter refuse nested user namespaces. If the filter does, the limit is
      // optional.
      if (isFiltered) plan.optional('inside', limit);
      else limit();
    };
    // With several ids the program runs in this user namespace itself, without the right to change its limit.
    if (namespaces.user && user.ids !== 'one') {
      limitTo('0');
      return;
    }
    if ((!namespaces.user && namespaces.joined.user === undefined) || !user.inner) {
      if (!isFiltered)
        throw new OptionError(
          'nestedUserNamespaces',
          'cannot be false without an inner user namespace or a seccomp filter: set user.inner or seccomp, or nestedUserNamespaces: true',
        );
      return;
    }
    // If init creates the program's user namespace, it sets the limit then (see `innerUser`).
    if (!isBeside(spec, context)) return;
    limitTo('1');
  },
});

declare module './spec' {
  interface Spec {
    readonly nestedUserNamespaces: ReturnType<(typeof nestedUserNamespaces)['parse']>;
  }
}
