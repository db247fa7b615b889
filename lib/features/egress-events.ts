/** Why a connection was refused. */
export type RefusalReason =
  /** No list names the destination. */
  | 'unlisted'
  /** `deny` names the destination, or `onConnect` denied it. */
  | 'denied'
  /** The destination is, or its name resolves to, a special address that `allow` does not name. */
  | 'special-address'
  /** The TLS server name is missing or differs from the name that was looked up. */
  | 'server-name'
  /** An HTTP request is for a host other than the name that was looked up. */
  | 'host'
  /** The protocol cannot be checked: HTTP/2 in clear text, upgrades other than WebSocket, malformed HTTP. */
  | 'protocol'
  /** The name has no address, or the server cannot be reached. */
  | 'unreachable'
  /** `onConnect` threw an error, or took too long. */
  | 'no-decision'
  /** A limit is exceeded: `connections` or `bytes`. */
  | 'limit';

/** A program, identified as on the host. */
export interface EgressProgram {
  readonly pid: number;
  readonly command: string;
}

interface EgressPlace {
  /** Time in ms since the epoch. */
  readonly time: number;
  readonly name?: string;
  /** The address that the program connects to, if it did not look up a name. */
  readonly address?: string;
  readonly port: number;
}

/**
 * An egress event. `id` identifies the connection. `dropped` counts events that were left out because there were too
 * many.
 */
export type EgressEvent =
  | { readonly kind: 'dropped'; readonly time: number; readonly count: number }
  | { readonly kind: 'lookup'; readonly time: number; readonly name: string; readonly allowed: boolean }
  | (EgressPlace & { readonly kind: 'connect'; readonly id: number; readonly via: string; readonly to: string })
  | (EgressPlace & {
      readonly kind: 'request';
      readonly id: number;
      readonly protocol: 'http' | 'tls';
      /** Method of the HTTP request. */
      readonly method?: string;
      readonly path?: string;
    })
  | (EgressPlace & {
      readonly kind: 'refused';
      readonly id?: number;
      readonly protocol: 'tcp' | 'udp' | 'other';
      readonly reason: RefusalReason;
      readonly program?: EgressProgram;
      /** Further information: the TLS server name, the host of an HTTP request, or an error message. */
      readonly detail?: string;
    })
  | (EgressPlace & {
      readonly kind: 'close';
      readonly id: number;
      /** Bytes sent by the program, and received by it. */
      readonly sent: number;
      readonly received: number;
      readonly durationMs: number;
    });

/** Totals of one destination. */
export interface EgressTotals {
  readonly connections: number;
  readonly refused: number;
  /** Bytes sent by programs, and received by them. */
  readonly sent: number;
  readonly received: number;
}

const maxDestinations = 1000;
// Lookups of invented names must not use up the entries of allowed names.
const maxRefused = 500;
const others = '*';

/**
 * Totals by destination. At most 1000 destinations have an entry of their own, of which at most 500 were first seen in
 * a refusal. All others are counted under `*`.
 */
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

  /** Counts a refused connection. */
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
