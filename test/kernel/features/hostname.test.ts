import { hostname } from 'node:os';
import { type SpawnOptions, spawnIsolated } from 'nsjs';
import { output, sh, thrown } from '../../support';

describe('hostname and domainname', () => {
  test('the sandbox has its own names, and those of the host stay unchanged', async () => {
    const before = hostname();
    expect(await sh('uname -n; cat /proc/sys/kernel/domainname', { hostname: 'box', domainname: 'example', proc: 'full' })).toBe(
      'box\nexample',
    );
    expect(hostname()).toBe(before);
    expect(await output('uname', ['-n'])).toBe('sandbox');
  });
  test('a name longer than 64 bytes is refused', () => {
    expect(thrown(() => spawnIsolated('true', [], { hostname: 'x'.repeat(65) })).message).toMatch(/^hostname: /);
  });
  test('a name is refused if the UTS namespace is shared with the host', () => {
    expect(thrown(() => spawnIsolated('true', [], { hostname: 'x', namespaces: { uts: false } })).message).toMatch(/^hostname: /);
  });
});

describe('the host name', () => {
  const script = `import socket; name = socket.gethostname()
print(name, socket.getfqdn(), socket.gethostbyname(name), socket.gethostbyaddr('127.0.0.1')[0], open('/etc/hostname').read().strip())`;
  const told = (options: SpawnOptions) => output('python3', ['-c', script], options);

  test('resolves in the sandbox, whether it is the default, set by the caller or shared with the host', async () => {
    expect(await told({})).toBe('sandbox sandbox 127.0.1.1 localhost sandbox');
    expect(await told({ hostname: 'box.example' })).toBe('box.example box.example 127.0.1.1 localhost box.example');
    expect(await told({ hostname: 'localhost' })).toBe('localhost localhost 127.0.0.1 localhost localhost');
    expect(await sh('hostname -f')).toBe('sandbox');
    const own = hostname();
    expect(await told({ namespaces: { uts: false } })).toBe(
      `${own} ${own} ${own === 'localhost' ? '127.0.0.1' : '127.0.1.1'} localhost ${own}`,
    );
  });
});
