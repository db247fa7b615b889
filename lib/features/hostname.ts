import { OptionError } from '../base/errors';
import { parseString } from '../base/parse';
import type { PlanWriter } from '../plan/writer';
import { feature } from './feature';
import type { Spec } from './spec';

export interface HostnameOptions {
  /**
   * Host name inside, 1 to 64 bytes (sethostname(2)). Default `'sandbox'` in a new uts namespace. /etc/hosts maps it to
   * 127.0.1.1.
   */
  readonly hostname?: string;
  /** NIS domain name inside, 1 to 64 bytes (setdomainname(2)). Default `'(none)'` in a new uts namespace. */
  readonly domainname?: string;
}

const maxBytes = 64;
/** Default host name in a new uts namespace. */
export const defaultHostname = 'sandbox';

function parseName(value: unknown, at: string): string | undefined {
  if (value === undefined) return undefined;
  const name = parseString(value, at);
  const size = Buffer.byteLength(name);
  if (size < 1 || size > maxBytes) throw new OptionError(at, `expected 1 to ${maxBytes} bytes, received ${size}`);
  if (/[\n\r]/.test(name)) throw new OptionError(at, 'contains a line break');
  return name;
}

function emitName(plan: PlanWriter, spec: Spec, key: 'hostname' | 'domainname', fallback: string): void {
  const name = spec[key];
  if (!spec.namespaces.uts) {
    if (name !== undefined) throw new OptionError(key, 'requires a new uts namespace (namespaces.uts)');
    return;
  }
  plan.op('inside', key, key === 'hostname' ? 'SetHostname' : 'SetDomainname', name ?? fallback);
}

export const hostname = feature({
  key: 'hostname',
  parse: parseName,
  emit: (plan, spec) => emitName(plan, spec, 'hostname', defaultHostname),
});

export const domainname = feature({
  key: 'domainname',
  parse: parseName,
  emit: (plan, spec) => emitName(plan, spec, 'domainname', '(none)'),
});

declare module './spec' {
  interface Spec {
    readonly hostname: ReturnType<(typeof hostname)['parse']>;
    readonly domainname: ReturnType<(typeof domainname)['parse']>;
  }
}
