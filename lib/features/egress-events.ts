/** Why a connection was refused. */
export type RefusalReason =
  /** No list names it. */
  | 'unlisted'
  /** `deny` names it, or `onConnect` said so. */
  | 'denied'
  /** It is, or its name leads to, a special address that `allow` does not name. */
  | 'special-address'
  /** TLS for another name than the one that was looked up, or for none. */
  | 'server-name'
  /** An HTTP request for another host than the one that was looked up. */
  | 'host'
  /** What can't be checked: HTTP/2 in clear text, upgrades other than WebSocket, malformed HTTP. */
  | 'protocol'
  /** The name leads nowhere, or the server can't be reached. */
  | 'unreachable'
  /** `onConnect` threw, or took too long. */
  | 'no-decision'
  /** A limit: `connections`, `bytes`. */
  | 'limit';

/** A program as this machine sees it. */
export interface EgressProgram {
  readonly pid: number;
  readonly command: string;
}

interface EgressPlace {
  /** ms since the epoch. */
  readonly time: number;
  readonly name?: string;
  /** What the program connects to, where it is no name. */
  readonly address?: string;
  readonly port: number;
}

/** An event of egress. `id` identifies the connection; `dropped` counts events that were left out because there were too many. */
export type EgressEvent =
  | { readonly kind: 'dropped'; readonly time: number; readonly count: number }
  | { readonly kind: 'lookup'; readonly time: number; readonly name: string; readonly allowed: boolean }
  | (EgressPlace & { readonly kind: 'connect'; readonly id: number; readonly via: string; readonly to: string })
  | (EgressPlace & {
      readonly kind: 'request';
      readonly id: number;
      readonly protocol: 'http' | 'tls';
      /** Of HTTP. */
      readonly method?: string;
      readonly path?: string;
    })
  | (EgressPlace & {
      readonly kind: 'refused';
      readonly id?: number;
      readonly protocol: 'tcp' | 'udp' | 'other';
      readonly reason: RefusalReason;
      readonly program?: EgressProgram;
      /** What else there is to say: the name in TLS, the host of a request, an error. */
      readonly detail?: string;
    })
  | (EgressPlace & {
      readonly kind: 'close';
      readonly id: number;
      /** Bytes from the program, and to it. */
      readonly sent: number;
      readonly received: number;
      readonly durationMs: number;
    });

/** What went to one destination. */
export interface EgressTotals {
  readonly connections: number;
  readonly refused: number;
  /** Bytes from programs, and to them. */
  readonly sent: number;
  readonly received: number;
}

const maxDestinations = 1000;
// Lookups of invented names must not take the place of names that are allowed.
const maxRefused = 500;
const others = '*';

/** Totals by destination; past a thousand destinations, five hundred of them only ever refused, the rest is counted as `*`. */
export class EgressCounters {
  private readonly all = new Map<string, { connections: number; refused: number; sent: number; received: number }>();
  private onlyRefused = 0;

  of(destination: string): { connections: number; refused: number; sent: number; received: number } {
    const known = this.all.get(destination);
    if (known) return known;
    if (this.all.size >= maxDestinations && destination !== others) return this.of(others);
    const fresh = { connections: 0, refused: 0, sent: 0, received: 0 };
    this.all.set(destination, fresh);
    return fresh;
  }

  /** Counts one that was refused. */
  refuse(destination: string): void {
    if (this.all.has(destination)) this.of(destination).refused++;
    else if (this.onlyRefused < maxRefused) {
      this.onlyRefused++;
      this.of(destination).refused++;
    } else this.of(others).refused++;
  }

  read(): Readonly<Record<string, EgressTotals>> {
    return Object.fromEntries([...this.all].map(([name, totals]) => [name, { ...totals }]));
  }
}
