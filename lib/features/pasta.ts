import { OptionError } from '../base/errors';
import { parseArray, parseInteger, parseObject } from '../base/parse';

/** The network of the host through pasta(1), of a long-lived sandbox. What it would open on its own is off: the host's loopback, and ports. */
export interface PastaOptions {
  /** Ports of the host, at 127.0.0.1, that lead inside, TCP: by the port on the host, the one inside. Default: none. */
  readonly publish?: Readonly<Record<number, number>> | readonly number[];
  /** Bytes. Default 65,520. */
  readonly mtu?: number;
}

/** {@link PastaOptions} as they were read. */
export interface PastaSpec {
  readonly publish: readonly (readonly [host: number, inside: number])[];
  readonly mtu: number;
}

/** Reads them. Throws OptionError or OptionRangeError. */
export function parsePasta(value: unknown, at: string): PastaSpec {
  const { publish = {}, mtu = 65_520 } = parseObject(value, at, ['publish', 'mtu']);
  const port = (number: unknown) => parseInteger(Number(number), `${at}.publish`, 1, 65_535);
  if (typeof publish !== 'object' || publish === null) throw new OptionError(`${at}.publish`, 'expected ports', 'ERR_INVALID_ARG_TYPE');
  const pairs = Array.isArray(publish) ? parseArray(publish, at).map((one) => [one, one] as const) : Object.entries(publish);
  return { publish: pairs.map(([host, inside]) => [port(host), port(inside)]), mtu: parseInteger(mtu, `${at}.mtu`, 1280, 65_520) };
}
