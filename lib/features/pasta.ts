import { OptionError } from '../base/errors';
import { parseArray, parseInteger, parseObject } from '../base/parse';

/**
 * The host's network through pasta(1), for a long-lived sandbox. Access to the host's loopback and forwarding of ports,
 * which pasta enables by default, are off.
 */
export interface PastaOptions {
  /**
   * TCP ports on 127.0.0.1 of the host that lead into the sandbox. Maps the port on the host to the port inside; in a
   * list both are equal. Default: none.
   */
  readonly publish?: Readonly<Record<number, number>> | readonly number[];
  /** MTU in bytes. Default 65,520. */
  readonly mtu?: number;
}

/** {@link PastaOptions} after parsing. */
export interface PastaSpec {
  readonly publish: readonly (readonly [host: number, inside: number])[];
  readonly mtu: number;
}

/** Parses {@link PastaOptions}. Throws OptionError or OptionRangeError. */
export function parsePasta(value: unknown, at: string): PastaSpec {
  const { publish = {}, mtu = 65_520 } = parseObject(value, at, ['publish', 'mtu']);
  const port = (number: unknown) => parseInteger(Number(number), `${at}.publish`, 1, 65_535);
  if (typeof publish !== 'object' || publish === null)
    throw new OptionError(
      `${at}.publish`,
      'expected an array of ports, or an object that maps host ports to ports inside',
      'ERR_INVALID_ARG_TYPE',
    );
  const pairs = Array.isArray(publish) ? parseArray(publish, at).map((one) => [one, one] as const) : Object.entries(publish);
  return { publish: pairs.map(([host, inside]) => [port(host), port(inside)]), mtu: parseInteger(mtu, `${at}.mtu`, 1280, 65_520) };
}
