import { OptionError } from '../base/errors';
import { parseBoolean } from '../base/parse';
import { noSlot } from '../plan/operation';
import { feature } from './feature';
import { isBeside } from './network-kind';
import { filterFor } from './seccomp-filter';
import type { Spec } from './spec';

export interface NestedUserNamespacesOptions {
  /**
   * Whether the program may make user namespaces of its own. Default false: `user.max_user_namespaces` of the outer
   * namespace is used up by the inner one, so unshare(2) and clone(2) answer ENOSPC whatever the seccomp filter says
   * (namespaces(7), Linux 4.9). Where /proc/sys can't be written, the seccomp filter alone refuses them, and the report says so.
   */
  readonly nestedUserNamespaces?: boolean;
}

/** Whether the seccomp filter alone keeps the program from making user namespaces. */
export const refusedByFilter = (spec: Spec): boolean => spec.seccomp !== 'off' && filterFor(spec).refusesUserNamespaces;

const limitFile = '/proc/sys/user/max_user_namespaces';

export const nestedUserNamespaces = feature({
  key: 'nestedUserNamespaces',
  parse: (value = false, at): boolean => parseBoolean(value, at),
  emit(plan, spec, scene) {
    if (spec.nestedUserNamespaces) return;
    const { namespaces, user } = spec;
    const isFiltered = refusedByFilter(spec);
    const limitTo = (count: '0' | '1') => {
      const limit = () => plan.op('inside', 'nestedUserNamespaces', 'WriteFile', noSlot, limitFile, count);
      // Two walls by default; one may be missing if the other is sure.
      if (isFiltered) plan.optional('inside', limit);
      else limit();
    };
    // With several ids the program is in the namespace itself, without the right to change its limit.
    if (namespaces.user && user.ids !== 'one') {
      limitTo('0');
      return;
    }
    if ((!namespaces.user && namespaces.joined.user === undefined) || !user.inner) {
      if (!isFiltered)
        throw new OptionError(
          'nestedUserNamespaces',
          'can only be refused with an inner user namespace or with seccomp; set it to true otherwise',
        );
      return;
    }
    // Where init makes the program's user namespace it is made with its own limit.
    if (!isBeside(spec, scene)) return;
    limitTo('1');
  },
});

declare module './spec' {
  interface Spec {
    readonly nestedUserNamespaces: ReturnType<(typeof nestedUserNamespaces)['parse']>;
  }
}
