import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { normalName } from '../features/egress-rules';
import { Refusal } from './refusal';

const webPort = 80;

// Headers of one connection, not of the message: RFC 9110, 7.6.1.
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'transfer-encoding',
]);

// Removing these, even if the Connection header lists them, would change the meaning of the message.
const kept = new Set(['host', 'content-length']);

/**
 * Returns a raw header list without the headers of the connection, including those in `named`, the value of Connection.
 */
export function endToEnd(rawHeaders: readonly string[], named = ''): string[] {
  const listed = new Set(named.toLowerCase().split(/\s*,\s*/));
  const pairs: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const key = name.toLowerCase();
    if (!hopByHop.has(key) && (kept.has(key) || !listed.has(key))) pairs.push(name, rawHeaders[index + 1] ?? '');
  }
  return pairs;
}

// Some servers read a header with `_` in its name as one of these; others ignore it.
const decisive: readonly string[] = ['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'expect'];

/** Throws a Refusal if two servers could interpret a request differently. */
export function checkShape(message: IncomingMessage): void {
  const { rawHeaders, headers, url = '', httpVersion } = message;
  const refuse = (what: string) => {
    throw new Refusal('protocol', what);
  };
  if (httpVersion !== '1.1' && httpVersion !== '1.0') refuse(`HTTP/${httpVersion}`);
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const odd = names.find((name) => name.includes('_') && decisive.includes(name.replaceAll('_', '-')));
  if (odd !== undefined) refuse(odd);
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (httpVersion !== '1.1' || coding.toLowerCase() !== 'chunked')) refuse(`transfer-encoding: ${coding}`);
  const length = headers['content-length'];
  if (length !== undefined && !/^(0|[1-9]\d*)$/.test(length)) refuse(`content-length: ${length}`);
  if (/[#\\]/.test(url) || /^[a-z]+:\/\/[^/?]*@/i.test(url)) refuse('a malformed URL');
  const hosts = names.filter((name) => name === 'host').length;
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) throw new Refusal('host', hosts === 0 ? 'none' : 'several');
}

/** Whether a request has a body. A server that does not read the body interprets it as the next request. */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** Returns the host that a request is for. Throws a Refusal if it names none, several, or another one than its URL. */
export function hostOf(message: IncomingMessage): { readonly name: string; readonly port: number | undefined } {
  const hosts = message.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  const { host } = message.headers;
  if (hosts.length !== 1 || host === undefined) throw new Refusal('host', hosts.length === 0 ? 'none' : 'several');
  const own = split(host);
  const { url: asked = '' } = message;
  if (asked.startsWith('/') || (asked === '*' && message.method === 'OPTIONS')) return own;
  // For some servers, any other form of target names a host as well.
  if (!/^http:\/\//i.test(asked)) throw new Refusal('protocol', 'the request target is neither a path nor an http: URL');
  const url = split(urlHost(asked));
  if (url.name !== own.name) throw new Refusal('host', `Host names ${own.name}, but the URL names ${url.name}`);
  const [ownPort, urlPort] = [own.port ?? webPort, url.port ?? webPort];
  if (ownPort !== urlPort) throw new Refusal('host', `Host and URL name different ports: ${ownPort} and ${urlPort}`);
  return own;
}

/**
 * Returns the host names in the Host headers and the URL of a request, without addresses. Throws a Refusal if one
 * cannot be parsed.
 */
export function namesIn(message: IncomingMessage): readonly string[] {
  const { rawHeaders, url = '' } = message;
  const hosts = rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === 'host');
  const all = /^[a-z]+:/i.test(url) ? [...hosts, urlHost(url)] : hosts;
  return all.flatMap((host) => {
    const [, text = ''] = /^(.*?)(?::\d{0,5})?$/s.exec(host) ?? [];
    return isIP(text.replace(/^\[(.*)\]$/, '$1')) === 0 ? [split(host).name] : [];
  });
}

function urlHost(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}

function split(host: string): { readonly name: string; readonly port: number | undefined } {
  // The host is matched as written, so that the text that is passed on is the text that was checked.
  const [, text = '', port] = /^([\w.-]+)(?::(0|[1-9]\d{0,4}))?$/.exec(host) ?? [];
  const name = normalName(text);
  if (name === undefined) throw new Refusal('host', host === '' ? 'an empty host' : host.slice(0, 255));
  return { name, port: port === undefined ? undefined : Number(port) };
}

const texts: Readonly<Record<number, string>> = { 400: 'Bad Request', 403: 'Forbidden', 417: 'Expectation Failed', 502: 'Bad Gateway' };

/** Returns a complete response, after which the connection is closed. */
export function closing(status: number, message: string): string {
  const body = `nsjs: ${message}\n`;
  const type = 'Content-Type: text/plain; charset=utf-8';
  return `HTTP/1.1 ${status} ${texts[status]}\r\nConnection: close\r\n${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function answer(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, texts[status] ?? '', { connection: 'close', 'content-type': 'text/plain; charset=utf-8' });
  response.end(`nsjs: ${message}\n`);
}

// A request to a proxy contains the whole URL, a request to a server only the path.
export function pathOf(message: IncomingMessage): string {
  const { url = '/' } = message;
  if (!/^https?:/i.test(url)) return url;
  if (!URL.canParse(url)) throw new Refusal('protocol', 'malformed URL');
  const parsed = new URL(url);
  return `${parsed.pathname}${parsed.search}`;
}

export function headText(incoming: IncomingMessage, rawHeaders: readonly string[]): string {
  const lines = [`HTTP/1.1 ${incoming.statusCode} ${incoming.statusMessage}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) lines.push(`${rawHeaders[index]}: ${rawHeaders[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Approximate size of a message head in bytes. */
export const headSize = ({ rawHeaders, url = '' }: IncomingMessage): number =>
  rawHeaders.reduce((sum, text) => sum + text.length + 2, url.length + 16);
