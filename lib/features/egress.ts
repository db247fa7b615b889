import type { Duplex } from 'node:stream';
import { OptionError } from '../base/errors';
import { type Bytes, parseBoolean, parseBytes, parseInteger, parseObject, parseOneOf, parseRecord } from '../base/parse';
import { type EgressRule, parseEndpoint, parseRules } from './egress-rules';

/** A connection that a program inside asks for. */
export interface EgressContext {
  /** The name it was looked up by; undefined if the program connects to an address. */
  readonly name?: string;
  /** The address it connects to; undefined if it has asked for a name. */
  readonly address?: string;
  readonly port: number;
  /** How it came: by connecting, or through the proxy inside. */
  readonly via: 'connect' | 'http-proxy' | 'socks5';
  /** What the lists say: undefined where neither names it. */
  readonly listed: 'allow' | 'deny' | undefined;
  /** The program that connects, as far as it can be told: its pid on the host, and its name. */
  program(): { readonly pid: number; readonly command: string } | undefined;
  /** Aborted when the program gives up, or the sandbox ends. */
  readonly signal: AbortSignal;
}

/**
 * What becomes of it: `undefined` as the lists say; `redirect` to another `host:port`; `stream` speaks to the program in place
 * of any server.
 */
export type EgressDecision =
  | 'allow'
  | 'deny'
  | { readonly redirect: string }
  | { readonly stream: Duplex }
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing leaves it to the lists
  | void
  | undefined;

/** Serves a name that exists only inside: speaks to the program itself. */
export type EgressService = (socket: Duplex, context: EgressContext) => void;

/** Egress: this process decides on every connection to outside. */
export interface EgressOptions {
  /**
   * What may be reached: `'api.example.com:443'`, `'*.example.com'` (names below it), `'10.0.0.0/8:5432'`, `'[2001:db8::]/32'`,
   * `'*'` (all that is public), with a port, a range of ports or neither. Loopback, link-local, private and other special addresses, also those a
   * name leads to, must be named as an address or network. Default: nothing.
   */
  readonly allow?: readonly string[];
  /** What may not, whatever else says so; names also where a connection to an allowed address says that it is for them, unless `checkNames` is false: it is then read as one to a name is. */
  readonly deny?: readonly string[];
  /**
   * Asked for every connection that `deny` does not name. Special addresses stay refused unless `allow` names them, or a redirect does so as an
   * address. Throwing refuses.
   */
  onConnect?(context: EgressContext): EgressDecision | Promise<EgressDecision>;
  /** Servers that are functions, by `'name:port'`. Nothing leaves this process. */
  readonly services?: Readonly<Record<string, EgressService>>;
  /** Addresses of a name. Default: hosts(5), then the name servers of this process (`dns.getServers()`). */
  resolve?(name: string): readonly string[] | Promise<readonly string[]>;
  /**
   * Whether a connection to a name must also be for that name: the server name of TLS, the Host of each HTTP request. HTTP in clear text
   * then goes request by request. Default true.
   */
  readonly checkNames?: boolean;
  /** Connections at one time. Default 256. */
  readonly connections?: number;
  /** Bytes in both directions and over all connections, those to `services` left out; past them everything is refused. Default: no limit. */
  readonly bytes?: Bytes;
  /** Bytes per second, in each direction, over all connections but those to `services`. Default: no limit. */
  readonly rate?: Bytes;
  /** ms in which a connection to outside must stand, and in which `onConnect` must answer. Default 10,000. */
  readonly connectTimeout?: number;
  /**
   * Whether there is a proxy inside too, for programs that want one: HTTP on 127.0.0.1:3128, SOCKS5 on 127.0.0.1:1080, with `HTTP_PROXY`,
   * `HTTPS_PROXY`, `ALL_PROXY` and `NODE_USE_ENV_PROXY` set. Default false: connections are taken as they are.
   */
  readonly proxy?: boolean;
  /**
   * How connections are taken: by `'nftables'` (any port), by `'ports'`: listeners on each port that `allow` and `services` name, 80 and 443 where they name none,
   * which programs inside then can't use; or `'auto'` (default): the first that the kernel can do.
   */
  readonly via?: 'auto' | 'nftables' | 'ports';
  /**
   * Whether a thread of its own serves it, so that a busy sandbox does not keep this one from its work. Excludes `services`, `resolve` and streams,
   * which cannot go to another thread; `onConnect` is asked here. Default false.
   */
  readonly worker?: boolean;
}

/** {@link EgressOptions} as they were read. */
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

/** Reads them. Throws OptionError or OptionRangeError. */
export function parseEgress(value: unknown, at: string): EgressSpec {
  const given = parseObject(value, at, keys);
  for (const key of ['services', 'resolve'] as const)
    if (given.worker === true && given[key] !== undefined)
      throw new OptionError(`${at}.${key}`, 'is a function that cannot go to a thread: leave out worker');
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
