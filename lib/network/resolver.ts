import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { EgressSpec } from '../features/egress';
import { canonicalIp } from '../ip';

const keptMs = 30_000;
const maxKept = 1024;
const maxAddresses = 16;

const systemResolve = async (name: string): Promise<readonly string[]> => (await lookup(name, { all: true })).map(({ address }) => address);

/** Addresses of names, asked once and kept for half a minute: what was checked is what is dialled. */
export class Resolver {
  private readonly kept = new Map<string, { readonly until: number; readonly addresses: Promise<readonly string[]> }>();
  private readonly ask: NonNullable<EgressSpec['resolve']>;

  constructor(resolve: EgressSpec['resolve']) {
    this.ask = resolve ?? systemResolve;
  }

  /** Rejects with what the resolver says: ENOTFOUND. */
  resolve(name: string): Promise<readonly string[]> {
    const known = this.kept.get(name);
    if (known && known.until > performance.now()) return known.addresses;
    const addresses = this.lookUp(name);
    if (this.kept.size >= maxKept) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(name, { until: performance.now() + keptMs, addresses });
    addresses.catch(() => this.kept.delete(name));
    return addresses;
  }

  private async lookUp(name: string): Promise<readonly string[]> {
    const found = await this.ask(name);
    return [...new Set(found.filter((address) => isIP(address) !== 0).map(canonicalIp))].slice(0, maxAddresses);
  }
}
