// The default root contains the system files of the host and no other files of the host.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runtimeFiles } from '../../../dist/host/runtime-files';
import { applicationDirectory, foreignMounts } from '../../../dist/host/usr-masks';
import { parseMountLines } from '../../../dist/proc/mountinfo';
import { isRoot, sh, temporaryDirectory, testIf, trySh } from '../../support';

const checkout = process.cwd();
const namespace = isRoot ? ['-m'] : ['-Urm'];
const canMount = spawnSync('unshare', [...namespace, 'true']).status === 0;

/**
 * Runs a Node script in a new mount namespace with additional `files`, after the shell commands in `more`. Returns its
 * output.
 */
function onHost(files: Readonly<Record<string, string>>, more: string, script: string): string {
  const directory = temporaryDirectory();
  try {
    const path = join(directory.path, 'main.js');
    writeFileSync(
      path,
      `const nsjs = require(${JSON.stringify(checkout)});\n(async () => { ${script} })().catch((error) => console.log('failed: ' + error.message));`,
    );
    const made = Object.entries(files).map(([name, text]) => `mkdir -p $(dirname ${name}); printf '%s' '${text}' > ${name}`);
    const line = `mount --make-rprivate / && mount -t tmpfs none /usr/src && mount -t tmpfs none /usr/local/etc && ${[...made, more, `cd ${checkout}`].filter(Boolean).join(' && ')} && exec ${process.execPath} ${path}`;
    const { stdout, stderr } = spawnSync('unshare', [...namespace, 'sh', '-c', line], { encoding: 'utf8' });
    return `${stdout}${stderr}`.trim();
  } finally {
    directory.remove();
  }
}

const inside = (line: string, options = '{}') =>
  `const { stdout, stderr } = await nsjs.spawnIsolated('/bin/sh', ['-c', ${JSON.stringify(line)}], { reject: false, ...${options} }); console.log(stdout + stderr);`;

const tree = {
  '/usr/src/app/.env': 'SECRET=1',
  '/usr/src/app/job.js': 'console.log(6 * 7); process.send?.(6 * 7)',
  '/usr/src/notes': 'secret',
  '/usr/src/linux-headers-1/Makefile': 'headers',
  '/usr/local/etc/service.conf': 'password',
};

describe('certificates', () => {
  test('are present, and private keys are not', async () => {
    const found = await trySh('ls /etc/ssl; ls /etc/ssl/private; ls /etc/ssl/certs | head -1');
    expect(found.stdout.split('\n').slice(0, 2)).toEqual(['certs', 'openssl.cnf'].filter((name) => existsSync(`/etc/ssl/${name}`)));
    expect(found.stderr).toMatch(/private/);
    if (existsSync('/etc/ssl/certs/ca-certificates.crt')) expect(await sh('head -c 10 /etc/ssl/certs/ca-certificates.crt')).not.toBe('');
  });
});

describe('files of runtimes outside /usr', () => {
  // Every directory in the list, and for names with a version one that no host has.
  const directories = [
    ...runtimeFiles().filter((path) => !statSync(path, { throwIfNoEntry: false })?.isFile()),
    '/etc/java-99-openjdk',
    '/etc/ImageMagick-9',
    '/etc/php/9.9/cli',
    '/etc/php/9.9/mods-available',
  ];
  const secrets = [
    'maven/settings.xml',
    'R/Renviron.site',
    'php/9.9/fpm/pool.conf',
    'npmrc',
    'mysql/debian.cnf',
    'java-99-openjdk.key',
    'odbc.ini',
  ];

  testIf(isRoot, 'root', 'are visible only if every user of the host may read them', () => {
    const plant = directories.map(
      (path) =>
        `mkdir -p ${path} && for m in 600 640 644; do echo $m > ${path}/planted$m; chmod $m ${path}/planted$m; done && mkdir -m 700 ${path}/closed && echo closed > ${path}/closed/planted644`,
    );
    const hide = secrets.map((name) => `mkdir -p $(dirname /etc/${name}) && echo secret > /etc/${name}`);
    const more = [
      'mount -t tmpfs none /mnt',
      ...['/etc', '/var'].map(
        (path) =>
          `mkdir -p /mnt${path}/u /mnt${path}/w && mount -t overlay none -o lowerdir=${path},upperdir=/mnt${path}/u,workdir=/mnt${path}/w ${path}`,
      ),
      ...plant,
      ...hide,
    ].join(' && ');
    const line = `for d in ${directories.join(' ')}; do cat $d/planted644 $d/planted600 $d/planted640 $d/closed/*; done 2>/dev/null | sort | uniq -c; cd /etc; ls ${secrets.join(' ')} 2>/dev/null; echo looked`;
    const found = onHost({}, more, inside(line))
      .split('\n')
      .map((one) => one.trim());
    expect(found).toEqual([`${directories.length} 644`, 'looked']);
  });

  test('are replaced by mounts of the caller', async () => {
    const mounts = [
      { type: 'file', target: '/etc/os-release', data: 'ID=own' },
      { type: 'file', target: '/etc/services', data: 'own 1/tcp' },
      { type: 'file', target: '/etc/fonts/local.conf', data: 'own' },
    ] as const;
    expect(await sh('cat /etc/os-release /etc/services /etc/fonts/local.conf', { mounts: [...mounts] })).toBe('ID=ownown 1/tcpown');
    expect(await sh('readlink /etc/services', { mounts: [{ type: 'symlink', target: '/etc/services', to: '/x' }] })).toBe('/x');
  });

  test('make service names and the OS release known, and let installed Java and fonts work', async () => {
    const python =
      "import socket, mimetypes, platform; print(socket.getservbyname('https'), platform.freedesktop_os_release()['ID'] != '')";
    if (existsSync('/etc/services')) expect(await sh(`python3 -c "${python}"`)).toBe('443 True');
    if (existsSync('/usr/bin/java')) expect((await trySh('java -version', { limits: { memory: '1G' } })).exitCode).toBe(0);
    if (existsSync('/usr/bin/fc-list') && existsSync('/usr/share/fonts')) expect(await sh('fc-list | wc -l')).not.toBe('0');
  });
});

describe('files below /usr that are not part of the system', () => {
  const mountIf = (name: string, body: () => void) => testIf(canMount, 'mount namespaces', name, body);

  mountIf('sources except kernel headers, and settings in /usr/local/etc, are hidden', () => {
    const line = 'cd /usr; find src local/etc -type f; touch src/x local/etc/x 2>/dev/null && echo written';
    for (const options of ['{}', "{ preset: 'node' }", "{ preset: 'build' }"])
      expect(
        onHost(tree, '', inside(line, options))
          .replace(/^touch.*$/gm, '')
          .trim(),
      ).toBe('src/linux-headers-1/Makefile');
  });

  mountIf('they are hidden in long-lived sandboxes, in pools and in repeated runs as well', () => {
    const line = 'cat /usr/src/notes /usr/src/app/.env /usr/local/etc/service.conf; cat /usr/src/linux-headers-1/Makefile';
    const script = `for (let run = 0; run < 3; run++) { ${inside(line)} }
      const sandbox = await nsjs.Sandbox.open(); console.log((await sandbox.spawn('/bin/sh', ['-c', ${JSON.stringify(line)}], { reject: false })).stdout); await sandbox.close();
      const pool = await nsjs.SandboxPool.open(); console.log((await pool.spawn('/bin/sh', ['-c', ${JSON.stringify(line)}], { reject: false })).stdout); await pool.close();`;
    const found = onHost(tree, '', script);
    expect(found).not.toMatch(/SECRET|secret|password/);
    expect(found.match(/headers/g)).toHaveLength(5);
  });

  mountIf('directories and files that are mounted from another device are hidden, except at system paths', () => {
    const more =
      `mount -t tmpfs none /usr/games && mkdir /usr/games/data && mount -t tmpfs none /usr/games/data && echo secret > /usr/games/data/f
      mount -t tmpfs none /usr/local/share && mkdir -p /usr/local/share/vol && mount -t tmpfs none /usr/local/share/vol && echo secret > /usr/local/share/vol/f
      touch /usr/local/share/key /usr/local/share/keep && mount -t tmpfs none /mnt && echo secret > /mnt/key && mount --bind /mnt/key /usr/local/share/key && echo fine > /usr/local/share/keep
      true`.replace(/\n/g, ' && ');
    const found = onHost({}, more, inside('cat /usr/games/data/f /usr/local/share/vol/f /usr/local/share/key; cat /usr/local/share/keep'));
    expect(found).not.toContain('secret');
    expect(found).toContain('fine');
  });

  mountIf('the directory of the application is hidden wherever it is, but Node is not', () => {
    const app = '/usr/local/share/app';
    const more = `mount -t tmpfs none /usr/local/share && mkdir -p ${app}/bin && echo '{"name":"app"}' > ${app}/package.json && echo SECRET > ${app}/.env`;
    const script = `process.argv[1] = '${app}/bin/main.js'; require('node:fs').writeFileSync(process.argv[1], '');
      ${inside(`cat ${app}/.env; node -p 1+1; ls -d ${dirnameOfNode()}`, '{ preset: "node" }')}`;
    const found = onHost({}, more, script);
    expect(found).not.toContain('SECRET');
    expect(found).toMatch(/^2$/m);
  });

  mountIf('the module of forkIsolated is visible automatically, and hidden paths can be bound', () => {
    const fork = `const child = nsjs.forkIsolated('/usr/src/app/job.js'); child.on?.('message', () => {}); console.log((await child).stdout);`;
    expect(onHost(tree, '', fork)).toBe('42');
    const mounts = `{ mounts: [{ type: 'bind', source: '/usr/src/app' }, { type: 'file', target: '/usr/local/etc/own/deep', data: 'own' }, { type: 'tmpfs', target: '/usr/src/t' }] }`;
    const found = onHost(
      tree,
      '',
      inside('cat /usr/src/app/.env /usr/local/etc/own/deep; touch /usr/src/t/x; ls /usr/src /usr/src/t', mounts),
    );
    expect(found.split('\n')).toEqual(['SECRET=1own/usr/src:', 'app', 'linux-headers-1', 't', '', '/usr/src/t:', 'x']);
    const missing = `await nsjs.spawnIsolated('/usr/src/app/tool')`;
    expect(onHost({ ...tree, '/usr/src/app/tool': '' }, '', missing)).toMatch(
      /ENOENT.*add \{type: 'bind', source: '\/usr\/src\/app\/tool'\}/,
    );
  });

  mountIf('preset landlock gives no access to them either', () => {
    const found = onHost(
      tree,
      '',
      inside(
        'cat /usr/src/notes /usr/src/app/.env /usr/local/etc/service.conf; cat /usr/src/linux-headers-1/Makefile; echo $((6 * 7))',
        "{ preset: 'landlock' }",
      ),
    );
    expect(found).not.toMatch(/SECRET|secret|password/);
    expect(found).toMatch(/headers/);
  });
});

const dirnameOfNode = () => join(process.execPath, '..');

describe('paths that count as part of the system', () => {
  const mount = (device: string, target: string) => `1 1 ${device} / ${target} rw - ext4 x rw`;
  const found = (...lines: readonly string[]) => foreignMounts(parseMountLines([mount('8:1', '/'), ...lines].join('\n')));

  test('drivers at any depth and directories that are often separate file systems count as system', () => {
    const system = [
      '/usr/lib/modules',
      '/usr/lib/x86_64-linux-gnu/libcuda.so.1',
      '/usr/bin/nvidia-smi',
      '/usr/share',
      '/usr/local',
      '/usr/local/lib/x',
      '/usr/include',
    ];
    expect(found(...system.map((target) => mount('8:2', target)))).toEqual([]);
  });

  test('a mount with data is foreign unless it is on the device of /usr', () => {
    const data = ['/usr/data', '/usr/src/app', '/usr/share/nginx/html', '/usr/local/app', '/usr/libdata'];
    expect(found(...data.map((target) => mount('8:2', target)))).toEqual(data);
    expect(found(...data.map((target) => mount('8:1', target)))).toEqual([]);
    expect(found(mount('8:2', '/usr'), mount('8:2', '/usr/data'), mount('8:1', '/usr/other'))).toEqual(['/usr/other']);
  });

  test('npm, missing scripts and scripts outside /usr have no application directory', () => {
    expect(applicationDirectory(undefined)).toBeUndefined();
    expect(applicationDirectory('/nowhere/x.js')).toBeUndefined();
    expect(applicationDirectory(__filename)).toBeUndefined();
    const npm = join(process.execPath, '../../lib/node_modules/npm/bin/npm-cli.js');
    if (existsSync(npm)) expect(applicationDirectory(npm)).toBeUndefined();
  });
});
