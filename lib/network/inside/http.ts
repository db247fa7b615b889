import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import { runInThisContext } from 'node:vm';
import { OptionError } from '../../base/errors';

// jsdom has no Request and no Response, and Headers of another class.
const { Headers, Request, Response } = runInThisContext('globalThis') as typeof globalThis;

const statusWithoutBody = [101, 204, 205, 304];

/** Opens a connection in the network namespace. */
export type Connect = (port: number, host: string) => Socket;

// Names of the loopback interface refer to that of the network namespace.
const addressOf = (host: string | undefined): string => {
  if (host === undefined || host === 'localhost' || host === '') return '127.0.0.1';
  return host.replace(/^\[(.*)\]$/, '$1');
};

interface Endpoint {
  readonly host?: string | null;
  readonly port?: string | number | null;
}

/** Returns an agent for `http.request` that connects in the network namespace. */
export function agentInside(connect: Connect): Agent {
  return new (class extends Agent {
    override createConnection(options: Endpoint): Socket {
      return connect(Number(options.port ?? 80), addressOf(options.host ?? undefined));
    }
  })({ keepAlive: true });
}

/** Returns an agent for `https.request` that connects in the network namespace. */
export function secureAgentInside(connect: Connect): SecureAgent {
  return new (class extends SecureAgent {
    override createConnection(options: Endpoint & { readonly servername?: string }): Socket {
      const socket = connect(Number(options.port ?? 443), addressOf(options.host ?? undefined));
      return tlsConnect({ ...(options as object), socket, servername: options.servername ?? options.host ?? '' });
    }
  })({ keepAlive: true });
}

/** Performs a fetch that connects in the network namespace. Redirects are not followed. */
export async function fetchInside(
  agents: { readonly http: Agent; readonly https: SecureAgent },
  input: string | URL | Request,
  init?: RequestInit,
) {
  // Request accepts no signal of another class or realm, http.request does.
  const { signal, ...rest } = init ?? {};
  const asked = new Request(input instanceof Request ? input : new URL(String(input)), {
    ...rest,
    ...(init?.body === undefined ? {} : { duplex: 'half' }),
  } as RequestInit);
  const url = new URL(asked.url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new OptionError('url', `expected http: or https:, received '${url.protocol}'`);
  const isSecure = url.protocol === 'https:';
  const incoming = await send(asked, url, signal === undefined ? asked.signal : signal, isSecure ? agents.https : agents.http);
  const headers = new Headers();
  for (let index = 0; index + 1 < incoming.rawHeaders.length; index += 2)
    headers.append(incoming.rawHeaders[index] ?? '', incoming.rawHeaders[index + 1] ?? '');
  const status = incoming.statusCode ?? 502;
  const body = statusWithoutBody.includes(status) ? null : (Readable.toWeb(incoming) as ReadableStream);
  if (body === null) incoming.resume();
  try {
    return new Response(body, { status, statusText: incoming.statusMessage ?? '', headers });
  } catch (error) {
    incoming.destroy();
    throw error;
  }
}

function send(asked: Request, url: URL, signal: AbortSignal | null, agent: Agent | SecureAgent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (agent instanceof SecureAgent ? secureRequest : httpRequest)(url, {
      agent,
      method: asked.method,
      headers: Object.fromEntries(asked.headers),
      ...(signal ? { signal } : {}),
    });
    request.once('response', resolve);
    request.once('error', reject);
    // An upgrade that was not requested, such as status 101, is not a valid response.
    request.once('upgrade', (_, socket) => socket.destroy());
    request.once('close', () => reject(new TypeError('fetch failed: the server closed the connection without a response')));
    if (asked.body)
      Readable.fromWeb(asked.body as import('node:stream/web').ReadableStream)
        .on('error', reject)
        .pipe(request);
    else request.end();
  });
}
