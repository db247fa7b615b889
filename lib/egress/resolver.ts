import { getServers } from 'node:dns';
import { Resolver as DnsResolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { monotonic } from '../base/clock';
import { canonicalIp } from '../base/ip';
import type { EgressSpec } from '../features/egress';

const keptMs = 30_000;
const maxKept = 1024;
const maxAddresses = 16;

const timeoutMs = 2000;
const tries = 2;
const maxAsking = 16;
const nothing = ['ENODATA', 'ENOTFOUND'];

// Not getaddrinfo(3): it uses a few threads that the whole process shares, and an unresponsive name server would block
// them. Each name has a resolver of its own, because the servers cannot be set while another query is pending.
async function askServers(name: string): Promise<readonly string[]> {
  const resolver = new DnsResolver({ timeout: timeoutMs, tries });
  resolver.setServers(getServers());
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = [four, six].flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  if (found.length > 0) return found;
  const errors = [four, six].flatMap((one) => (one.status === 'rejected' ? [one.reason as NodeJS.ErrnoException] : []));
  throw errors.find(({ code = '' }) => !nothing.includes(code)) ?? errors[0] ?? new Error(`no address found for ${name}`);
}

async function systemResolve(name: string): Promise<readonly string[]> {
  const own = hostsOf(readHosts(), name);
  return own.length > 0 ? own : askServers(name);
}

function readHosts(): string {
  try {
    return readFileSync('/etc/hosts', 'utf8');
  } catch {
    return '';
  }
}

/** Returns the addresses of a name in a text in hosts(5) format. */
function hostsOf(text: string, name: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return address !== undefined && names.some((one) => one.toLowerCase() === name) ? [address] : [];
  });
}

/**
 * Resolves names and caches the addresses for 30 seconds, so that the addresses that are dialled are those that were
 * checked.
 */
export class Resolver {
  private readonly kept = new Map<string, { readonly until: number; readonly addresses: Promise<readonly string[]> }>();
  private asking = 0;
  private readonly ask: NonNullable<EgressSpec['resolve']>;

  constructor(resolve: EgressSpec['resolve']) {
    this.ask = resolve ?? systemResolve;
  }

  /**
   * Returns the addresses of a name. Rejects with the error of the resolver, such as ENOTFOUND, or with EAGAIN if too
   * many lookups are pending.
   */
  resolve(name: string): Promise<readonly string[]> {
    const known = this.kept.get(name);
    if (known && known.until > monotonic()) return known.addresses;
    const addresses = this.lookUp(name);
    if (this.kept.size >= maxKept) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(name, { until: monotonic() + keptMs, addresses });
    addresses.catch(() => this.kept.delete(name));
    return addresses;
  }

  private async lookUp(name: string): Promise<readonly string[]> {
    if (this.asking >= maxAsking) throw Object.assign(new Error('too many name lookups are pending'), { code: 'EAGAIN' });
    this.asking++;
    const found = await Promise.resolve(name)
      .then(this.ask)
      .finally(() => this.asking--);
    return [...new Set(found.filter((address) => isIP(address) !== 0).map(canonicalIp))].slice(0, maxAddresses);
  }
}
