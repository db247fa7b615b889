import type { Duplex } from 'node:stream';
import { OptionError } from '../base/errors';
import { type Bytes, parseBoolean, parseBytes, parseInteger, parseObject, parseOneOf, parseRecord } from '../base/parse';
import { type EgressRule, parseEndpoint, parseRules } from './egress-rules';

/** A connection that a program in the sandbox requests. */
export interface EgressContext {
  /** The name that the program looked up; undefined if it connects to an address. */
  readonly name?: string;
  /** The address that the program connects to; undefined if it looked up a name. */
  readonly address?: string;
  readonly port: number;
  /** How the connection was made: directly, or through one of the proxies inside. */
  readonly via: 'connect' | 'http-proxy' | 'socks5';
  /** The list that names the destination; undefined if neither does. */
  readonly listed: 'allow' | 'deny' | undefined;
  /** Returns the program that connects, if it can be found: its pid on the host, and its name. */
  program(): { readonly pid: number; readonly command: string } | undefined;
  /** Aborted when the program gives up or the sandbox ends. */
  readonly signal: AbortSignal;
}

/**
 * Decision about a connection. `undefined` leaves the decision to the lists. `redirect` connects to another
 * `host:port`. `stream` communicates with the program in place of a server.
 */
export type EgressDecision =
  | 'allow'
  | 'deny'
  | { readonly redirect: string }
  | { readonly stream: Duplex }
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing leaves it to the lists
  | void
  | undefined;

/** Serves a name that exists only inside the sandbox, by communicating with the program itself. */
export type EgressService = (socket: Duplex, context: EgressContext) => void;

/** Options of egress: this process decides about every connection to the outside. */
export interface EgressOptions {
  /**
   * Destinations that may be reached: `'api.example.com:443'`, `'*.example.com'` (names below it), `'10.0.0.0/8:5432'`,
   * `'[2001:db8::]/32'`, `'*'` (all public addresses), with a port, a range of ports or neither. Loopback, link-local,
   * private and other special addresses must be listed as an address or a network, even if a listed name resolves to
   * them. Default: none.
   */
  readonly allow?: readonly string[];
  /**
   * Destinations that may not be reached; takes precedence over everything else. Denied names also apply to a
   * connection to an allowed address that gives such a name as its TLS server name or HTTP Host, unless `checkNames` is
   * false. For this, a connection to an address is inspected like a connection to a name.
   */
  readonly deny?: readonly string[];
  /**
   * Called for every connection that `deny` does not name and no service takes. Special addresses stay refused unless
   * `allow` names them, or a redirect gives them as an address. If the function throws, the connection is refused.
   */
  onConnect?(context: EgressContext): EgressDecision | Promise<EgressDecision>;
  /** Servers that are implemented as functions, by `'name:port'`. No traffic leaves this process. */
  readonly services?: Readonly<Record<string, EgressService>>;
  /** Returns the addresses of a name. Default: hosts(5), then the name servers of this process (`dns.getServers()`). */
  resolve?(name: string): readonly string[] | Promise<readonly string[]>;
  /**
   * Whether a connection to a name must also carry that name: as TLS server name, and as Host of each HTTP request.
   * HTTP in clear text is then forwarded request by request. Default true.
   */
  readonly checkNames?: boolean;
  /** Maximum number of simultaneous connections. Default 256. */
  readonly connections?: number;
  /**
   * Maximum number of bytes in both directions over all connections, except those to `services`. Once it is exceeded,
   * every connection is refused. Default: no limit.
   */
  readonly bytes?: Bytes;
  /**
   * Maximum bytes per second, in each direction, over all connections except those to `services`. Default: no limit.
   */
  readonly rate?: Bytes;
  /**
   * Time in ms within which a connection to the outside must be established, and within which `onConnect` must return a
   * decision. Default 10,000.
   */
  readonly connectTimeout?: number;
  /**
   * Whether the sandbox also has proxies, for programs that use them: HTTP on 127.0.0.1:3128 and SOCKS5 on
   * 127.0.0.1:1080, with `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NODE_USE_ENV_PROXY` set. Default false:
   * connections are only intercepted.
   */
  readonly proxy?: boolean;
  /**
   * How connections are intercepted: by `'nftables'` (any port); by `'ports'`, which are listeners on each port that
   * `allow` and `services` name, or on 80 and 443 if they name none; programs inside cannot use these ports themselves;
   * or `'auto'` (default), the first method that the kernel supports.
   */
  readonly via?: 'auto' | 'nftables' | 'ports';
  /**
   * Whether a separate thread serves the connections, so that a busy sandbox does not block this thread. Excludes
   * `services`, `resolve` and streams, which cannot be passed to another thread. `onConnect` is called in this thread.
   * Default false.
   */
  readonly worker?: boolean;
}

/** Parsed {@link EgressOptions}. */
export interface EgressSpec {
  readonly allow: readonly EgressRule[];
  readonly deny: readonly EgressRule[];
  readonly onConnect?: NonNullable<EgressOptions['onConnect']>;
  readonly services: readonly { readonly host: string; readonly port: number; readonly serve: EgressService }[];
  readonly resolve?: NonNullable<EgressOptions['resolve']>;
  readonly checkNames: boolean;
  readonly connections: number;
  readonly bytes?: number;
  readonly rate?: number;
  readonly connectTimeout: number;
  readonly proxy: boolean;
  readonly via: 'auto' | 'nftables' | 'ports';
  readonly worker: boolean;
}

const keys = [
  'allow',
  'deny',
  'onConnect',
  'services',
  'resolve',
  'checkNames',
  'connections',
  'bytes',
  'rate',
  'connectTimeout',
  'proxy',
  'via',
  'worker',
] as const;

function parseFunction<T>(value: unknown, at: string): T {
  if (typeof value !== 'function') throw new OptionError(at, `expected a function, received ${typeof value}`, 'ERR_INVALID_ARG_TYPE');
  return value as T;
}

/** Parses egress options. Throws OptionError or OptionRangeError. */
export function parseEgress(value: unknown, at: string): EgressSpec {
  const given = parseObject(value, at, keys);
  for (const key of ['services', 'resolve'] as const)
    if (given.worker === true && given[key] !== undefined)
      throw new OptionError(`${at}.${key}`, 'is a function, which cannot be passed to a worker thread: leave out worker or this option');
  const services = Object.entries(parseRecord(given.services ?? {}, `${at}.services`)).map(([endpoint, serve]) => ({
    ...parseEndpoint(endpoint, `${at}.services['${endpoint}']`),
    serve: parseFunction<EgressService>(serve, `${at}.services['${endpoint}']`),
  }));
  const flag = (key: 'checkNames' | 'proxy' | 'worker', fallback: boolean) =>
    given[key] === undefined ? fallback : parseBoolean(given[key], `${at}.${key}`);
  return {
    allow: parseRules(given.allow, `${at}.allow`),
    deny: parseRules(given.deny, `${at}.deny`),
    services,
    checkNames: flag('checkNames', true),
    proxy: flag('proxy', false),
    worker: flag('worker', false),
    connections: parseInteger(given.connections ?? 256, `${at}.connections`, 1, 65_535),
    connectTimeout: parseInteger(given.connectTimeout ?? 10_000, `${at}.connectTimeout`, 1, 2 ** 31 - 1),
    via: parseOneOf(given.via ?? 'auto', `${at}.via`, ['auto', 'nftables', 'ports']),
    ...(given.bytes === undefined ? {} : { bytes: parseBytes(given.bytes, `${at}.bytes`) }),
    ...(given.rate === undefined ? {} : { rate: parseBytes(given.rate, `${at}.rate`, 1024) }),
    ...(given.onConnect === undefined
      ? {}
      : { onConnect: parseFunction<NonNullable<EgressSpec['onConnect']>>(given.onConnect, `${at}.onConnect`) }),
    ...(given.resolve === undefined ? {} : { resolve: parseFunction<NonNullable<EgressSpec['resolve']>>(given.resolve, `${at}.resolve`) }),
  };
}
