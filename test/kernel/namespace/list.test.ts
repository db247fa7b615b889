import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type ListedNamespace, listNamespaces, namespaceTree, Sandbox } from 'nsjs';
import { isRoot } from '../../support';

interface Lsns {
  readonly ns: number;
  readonly type: string;
  readonly nprocs: number;
  readonly pid: number;
  readonly user: string;
  readonly command: string;
}

const lsns = (): readonly Lsns[] => JSON.parse(execFileSync('lsns', ['-J', '-l'], { encoding: 'utf8' })).namespaces;
const cli = (...words: readonly string[]) =>
  execFileSync(process.execPath, [join(__dirname, '../../../dist/cli/main.js'), 'ls', ...words], { encoding: 'utf8' });
const normal = ({ inode, type, processes, leader, user, command }: ListedNamespace) => ({
  ns: inode,
  type,
  nprocs: processes.length,
  pid: leader,
  user,
  command,
});
const key = ({ ns, type }: { readonly ns: number; readonly type: string }) => `${type} ${ns}`;

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await Sandbox.open();
  await sandbox.spawn('sleep', ['1000'], { reject: false }).spawned;
});
afterAll(() => sandbox.close());

test('the list equals that of lsns for all namespaces that do not change in the meantime', () => {
  const before = lsns();
  const listed = listNamespaces().namespaces.map(normal);
  const after = new Map(lsns().map((one) => [key(one), JSON.stringify(one)]));
  // The lsns process itself and the number of processes of Node change between the calls.
  const stable = before.filter((one) => after.get(key(one)) === JSON.stringify(one) && !one.command.startsWith('lsns'));
  const ours = new Map(listed.map((one) => [key(one), one]));
  expect(stable.length).toBeGreaterThanOrEqual(4);
  for (const one of stable) {
    const found = ours.get(key(one));
    // Each lsns counts itself in the namespaces it is in.
    const counted = found && found.nprocs === one.nprocs - 1 ? { ...found, nprocs: one.nprocs } : found;
    expect(counted && { ...counted, command: counted.command.trim() }).toEqual({ ...one, command: one.command.trim() });
  }
  for (const one of listed) expect(before.some((other) => key(other) === key(one)) || !after.has(key(one))).toBe(true);
});

test('namespaces are found by process, with their owners, and form a tree', () => {
  const { namespaces, byProcess } = listNamespaces();
  const own = byProcess.get(process.pid);
  expect(own?.net).toBe(namespaces.find(({ type, processes }) => type === 'net' && processes.includes(process.pid))?.inode);
  const net = namespaces.find(({ inode }) => inode === sandbox.report.namespaces.net);
  const outer = sandbox.report.namespaces.user;
  expect(net?.owner).toBe(outer);
  const programs = namespaces.filter(({ type, command }) => type === 'user' && command === 'sleep 1000');
  expect(programs).toHaveLength(1);
  const find = (nodes: ReturnType<typeof namespaceTree>, inode: number): (typeof nodes)[number] | undefined => {
    for (const node of nodes) {
      const found = node.namespace.inode === inode ? node : find(node.children, inode);
      if (found) return found;
    }
    return undefined;
  };
  const tree = namespaceTree(namespaces);
  // An unprivileged user sees no process in the outer user namespace because init hides its own. The namespaces that
  // it owns are then at the top of the tree.
  const below = find(tree, outer)?.children ?? tree;
  expect(find(tree, outer) !== undefined).toBe(isRoot);
  expect(below.map(({ namespace }) => namespace.type)).toEqual(expect.arrayContaining(['net', 'mnt', 'uts']));
  expect(listNamespaces({ types: ['uts'] }).namespaces.every(({ type }) => type === 'uts')).toBe(true);
});

test('nsjs ls prints a table, a tree or JSON', () => {
  expect(cli().split('\n')[0]).toMatch(/^NS +TYPE +NPROCS +PID +USER +COMMAND$/);
  expect(cli()).toContain('sleep 1000');
  expect(cli('--tree', '--type', 'user,net')).toMatch(/[└├]─\d+ +user/);
  const json = JSON.parse(cli('--json', '--type', 'net')) as readonly ListedNamespace[];
  expect(json.some(({ inode }) => inode === sandbox.report.namespaces.net)).toBe(true);
  expect(() =>
    execFileSync(process.execPath, [join(__dirname, '../../../dist/cli/main.js'), 'ls', '--type', 'x'], { stdio: 'pipe' }),
  ).toThrow(/expected one of/);
});
