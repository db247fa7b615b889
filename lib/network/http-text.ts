import type { IncomingMessage, ServerResponse } from 'node:http';
import { normalName } from '../features/egress-rules';
import { Refusal } from './connection';

// Of one connection, not of the message: RFC 9110, 7.6.1.
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

// Whoever asks to take these off changes what the message is.
const kept = new Set(['host', 'content-length']);

/** Pairs of a raw list of headers without those of the connection. */
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

/** The host that a request is for; throws a Refusal where it names none, several, or another one than its URL. */
export function hostOf(message: IncomingMessage): { readonly name: string; readonly port: number | undefined } {
  const hosts = message.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  const { host } = message.headers;
  if (hosts.length !== 1 || host === undefined) throw new Refusal('host', hosts.length === 0 ? 'none' : 'several');
  const own = split(host);
  if (!/^https?:/i.test(message.url ?? '')) return own;
  const url = split(urlHost(message.url ?? ''));
  if (url.name !== own.name) throw new Refusal('host', `${own.name} and ${url.name}`);
  return own;
}

function urlHost(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}

function split(host: string): { readonly name: string; readonly port: number | undefined } {
  const [, text = '', port] = /^([^:]*)(?::(\d{1,5}))?$/.exec(host) ?? [];
  const name = normalName(text);
  if (name === undefined) throw new Refusal('host', host.slice(0, 255));
  return { name, port: port === undefined ? undefined : Number(port) };
}

const texts: Readonly<Record<number, string>> = { 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' };

/** A whole answer, after which the connection is closed. */
export function closing(status: number, message: string): string {
  const body = `nsjs: ${message}\n`;
  const type = 'Content-Type: text/plain; charset=utf-8';
  return `HTTP/1.1 ${status} ${texts[status]}\r\nConnection: close\r\n${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function answer(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { connection: 'close', 'content-type': 'text/plain; charset=utf-8' });
  response.end(`nsjs: ${message}\n`);
}

// What a proxy is asked for whole, a server is asked for by its path.
export function pathOf(message: IncomingMessage): string {
  const { url = '/' } = message;
  if (!/^https?:/i.test(url)) return url;
  if (!URL.canParse(url)) throw new Refusal('protocol', 'malformed URL');
  const parsed = new URL(url);
  return `${parsed.pathname}${parsed.search}`;
}

export function headText(incoming: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${incoming.statusCode} ${incoming.statusMessage}`];
  for (let index = 0; index + 1 < incoming.rawHeaders.length; index += 2)
    lines.push(`${incoming.rawHeaders[index]}: ${incoming.rawHeaders[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
