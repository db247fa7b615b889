// The program that unpackImage() and unpackTar() run in a sandbox: unpacks one layer from stdin into /rootfs and writes
// the result to stdout.
import { createGunzip } from 'node:zlib';
import { Unpacker, type UnpackRequest } from './unpack';

async function main(): Promise<void> {
  const request = JSON.parse(process.argv[2] ?? '{}') as UnpackRequest;
  process.umask(0o022);
  const input = request.gzip ? process.stdin.pipe(createGunzip()) : process.stdin;
  process.stdin.on('error', (error) => input.destroy(error));
  const answer = await new Unpacker(request).run(input as AsyncIterable<Uint8Array>);
  process.stdout.write(JSON.stringify(answer));
}

main().catch((error: Error) => {
  process.stdout.write(JSON.stringify({ error: error.message }));
  process.exitCode = 1;
});
