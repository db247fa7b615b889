import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { sleep } from '../../support';

export const hasChromium = spawnSync('chromium', ['--version']).status === 0;

interface Reply {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** One page in headless Chromium, controlled by the DevTools protocol over pipes. */
export class Browser {
  private readonly directory = mkdtempSync(join(tmpdir(), 'nsjs-test-'));
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private session: string | undefined;
  private lastId = 0;

  constructor(width: number, height: number) {
    const args = ['--headless=new', '--disable-gpu', '--remote-debugging-pipe', '--no-first-run', '--hide-scrollbars', '--no-proxy-server'];
    const own = [
      `--user-data-dir=${this.directory}`,
      `--window-size=${width},${height}`,
      '--disable-background-networking',
      '--no-sandbox',
    ];
    this.child = spawn('chromium', [...args, ...own, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, HOME: this.directory, TMPDIR: this.directory },
    });
    let rest = Buffer.alloc(0);
    (this.child.stdio[4] as Readable).on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        const reply = JSON.parse(rest.toString('utf8', 0, end)) as Reply;
        rest = rest.subarray(end + 1);
        if (reply.id !== undefined) this.waiting.get(reply.id)?.(reply);
      }
    });
  }

  async open(url: string): Promise<void> {
    const { targetId } = await this.send('Target.createTarget', { url });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    this.session = String(sessionId);
  }

  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    return (result as { readonly value?: unknown } | undefined)?.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while ((await this.evaluate(expression)) !== true) {
      if (performance.now() > end)
        throw new Error(`never true: ${expression}; the page has: ${await this.evaluate('document.body.innerText')}`);
      await sleep(50);
    }
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(String(data), 'base64');
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.child.once('close', resolve));
    // `detached` gave Chromium its own process group: this kills its descendants too.
    if (this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    await gone;
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  private send(method: string, params: object): Promise<Record<string, unknown>> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) => {
        this.waiting.delete(id);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result ?? {});
      });
      const message = { id, method, params, ...(this.session === undefined ? {} : { sessionId: this.session }) };
      (this.child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }
}
