// Shows the connections that a sandbox attempts, live: run `node dist-examples/egress-dashboard.js [PORT]`, then open
// the page. No packet leaves this host: the servers that the program may reach are functions in this process.
import { createServer, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type EgressEvent, Sandbox } from 'nsjs';

const script = `
while true; do
  curl -sS -o /dev/null http://api.local/v1/items
  curl -sS -o /dev/null -d 'count=3' http://api.local/v1/orders
  curl -sS -o /dev/null http://packages.local/left-pad.tgz
  curl -sS -o /dev/null http://tracker.example/collect?id=42
  curl -sS -o /dev/null http://169.254.169.254/latest/meta-data/
  curl -sS -o /dev/null http://10.0.0.5:8080/admin
  sleep 1
done`;

/** Answers one request with this many bytes. */
const answer = (bytes: number) => (socket: Duplex) => {
  socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n${'x'.repeat(bytes)}`));
};

async function main(port: number): Promise<void> {
  const sandbox = await Sandbox.open({
    network: { egress: { services: { 'api.local:80': answer(420), 'packages.local:80': answer(18_000) } } },
  });
  const watchers = new Set<ServerResponse>();
  sandbox.events.on('egress', (event: EgressEvent) => {
    for (const watcher of watchers) watcher.write(`data: ${JSON.stringify(event)}\n\n`);
  });
  const server = createServer((request, response) => {
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      watchers.add(response);
      response.on('close', () => watchers.delete(response));
    } else if (request.url === '/') {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
      response.end(page);
    } else {
      response.writeHead(404);
      response.end();
    }
  });
  server.listen(port, '127.0.0.1', () => {
    const address = server.address();
    console.log(`http://127.0.0.1:${typeof address === 'object' ? address?.port : port}/`);
  });
  const program = sandbox.spawn('/bin/sh', ['-c', script], { reject: false, stdio: 'ignore' });
  const stop = async () => {
    await sandbox.close();
    server.close();
    server.closeAllConnections();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  await program;
}

const page = `<!doctype html>
<meta charset="utf-8">
<title>Connections of the sandbox</title>
<style>
  :root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
  h1 { font-size: 1.25rem; }
  .totals { display: flex; gap: 1rem; margin: 1rem 0; }
  .totals div { flex: 1; padding: .75rem 1rem; border: 1px solid #8884; border-radius: .5rem; }
  .totals b { display: block; font-size: 1.75rem; font-variant-numeric: tabular-nums; }
  .totals .refused b { color: #c0392b; }
  .totals .allowed b { color: #1e8449; }
  table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8883; }
  td.number { text-align: right; }
  .mark { display: inline-block; padding: 0 .5rem; border-radius: 1rem; color: #fff; font-size: .85em; }
  .allowed .mark { background: #1e8449; }
  .refused .mark { background: #c0392b; }
</style>
<h1>Connections of the sandbox</h1>
<div class="totals">
  <div class="allowed"><b id="allowed">0</b>allowed</div>
  <div class="refused"><b id="refused">0</b>refused</div>
  <div><b id="bytes">0</b>bytes</div>
</div>
<table>
  <thead><tr><th>Time<th>Destination<th>Port<th><th>Reason or target<th>Program<th>Bytes</tr></thead>
  <tbody id="rows"></tbody>
</table>
<script>
  const totals = { allowed: 0, refused: 0, bytes: 0 };
  const rows = document.getElementById('rows');
  const open = new Map();
  const cell = (row, text, name) => { const td = row.insertCell(); td.textContent = text; if (name) td.className = name; return td; };
  const show = () => { for (const key in totals) document.getElementById(key).textContent = totals[key].toLocaleString('en'); };
  function add(event, verdict, why) {
    totals[verdict]++;
    const row = rows.insertRow(0);
    row.className = verdict;
    cell(row, new Date(event.time).toLocaleTimeString('en-GB'));
    cell(row, event.name ?? event.address);
    cell(row, event.port ?? '');
    const mark = document.createElement('span');
    mark.className = 'mark';
    mark.textContent = verdict;
    cell(row, '').append(mark);
    const detail = cell(row, why);
    cell(row, event.program?.command ?? '');
    const bytes = cell(row, '', 'number');
    while (rows.rows.length > 14) rows.deleteRow(-1);
    return { detail, bytes };
  }
  new EventSource('/events').onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.kind === 'connect') open.set(event.id, add(event, 'allowed', event.to));
    if (event.kind === 'refused') add(event, 'refused', event.reason);
    if (event.kind === 'lookup' && !event.allowed) add(event, 'refused', 'no such name');
    if (event.kind === 'close') {
      totals.bytes += event.sent + event.received;
      const shown = open.get(event.id);
      if (shown) shown.bytes.textContent = (event.sent + event.received).toLocaleString('en');
      open.delete(event.id);
    }
    show();
  };
</script>
`;

main(Number(process.argv[2] ?? 8000)).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
