import { readdirSync, readFileSync, statSync } from 'node:fs';
import { parseArray, parseObject, parseOneOf } from '../base/parse';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { namespaceLinksOf, readNamespaceRelations } from '../sys/ns-links';

/** One namespace that some process is in, as lsns(8) shows it. */
export interface ListedNamespace {
  readonly type: NamespaceType;
  /** Inode number: what `readlink /proc/<pid>/ns/<type>` shows. */
  readonly inode: number;
  /** Its processes, those that the caller may see. */
  readonly processes: readonly number[];
  /** The process with the lowest number. */
  readonly leader: number;
  /** Command line of the leader; its name if it has none. */
  readonly command: string;
  /** Who runs the leader: uid as the caller sees it, and name if /etc/passwd has one. */
  readonly uid: number;
  readonly user: string;
  /** Inode of the parent, of pid and user namespaces; undefined where it is outside of what the caller may see. */
  readonly parent?: number;
  /** Inode of the user namespace that owns it. */
  readonly owner?: number;
}

/** What {@link listNamespaces} found. Plain data. */
export interface NamespaceList {
  readonly namespaces: readonly ListedNamespace[];
  /** By process: the namespaces it is in, by type. */
  readonly byProcess: ReadonlyMap<number, Readonly<Partial<Record<NamespaceType, number>>>>;
}

/** A namespace and those below it: of user namespaces by parent, of all others by the user namespace that owns them. */
export interface NamespaceNode {
  readonly namespace: ListedNamespace;
  readonly children: readonly NamespaceNode[];
}

/**
 * Every namespace that some process is in, for what the caller may see: its own processes for a user, all for root
 * (namespaces(7); links by ioctl_ns(2), Linux 4.9). Blocks for some milliseconds, and for as long as a process changes its memory whose command line is read; one that ends meanwhile is left out.
 */
export function listNamespaces(options: { readonly types?: readonly NamespaceType[] } = {}): NamespaceList {
  const given = parseObject(options, '', ['types']).types ?? namespaceTypes;
  const types = parseArray(given, 'types').map((type, index) => parseOneOf(type, `types[${index}]`, namespaceTypes));
  return namespacesOf(types, commandOf);
}

/** Processes in a namespace, the lowest first. Reads nothing that a program can make it wait for, as its command line. */
export const membersOf = (type: NamespaceType, inode: number): readonly number[] =>
  namespacesOf([type], () => '').namespaces.find((one) => one.inode === inode)?.processes ?? [];

function namespacesOf(types: readonly NamespaceType[], commandFor: (pid: number) => string): NamespaceList {
  const byProcess = new Map<number, Readonly<Partial<Record<NamespaceType, number>>>>();
  const members = new Map<number, { readonly type: NamespaceType; readonly processes: number[] }>();
  const linksOf = namespaceLinksOf(types);
  for (const name of readdirSync('/proc')) {
    const first = name.charCodeAt(0);
    if (first < zero || first > nine) continue;
    const inodes = linksOf(name);
    if (!inodes) continue;
    const pid = Number(name);
    const found: Partial<Record<NamespaceType, number>> = {};
    for (let index = 0; index < types.length; index++) {
      const [type, inode] = [types[index] as NamespaceType, inodes[index] as number];
      if (inode === 0) continue;
      found[type] = inode;
      // No two namespaces have one inode, whatever their types.
      const known = members.get(inode);
      if (known) known.processes.push(pid);
      else members.set(inode, { type, processes: [pid] });
    }
    byProcess.set(pid, found);
  }
  const users = readUsers();
  // One process leads most of its namespaces: it is read once.
  const leaders = new Map<number, Leader>();
  const leaderOf = (pid: number): Leader => {
    const known = leaders.get(pid) ?? readLeader(pid, users, commandFor);
    leaders.set(pid, known);
    return known;
  };
  const namespaces = [...members].map(([inode, { type, processes }]): ListedNamespace => {
    processes.sort((a, b) => a - b);
    const leader = processes[0] as number;
    return { type, inode, processes, ...leaderOf(leader), ...readNamespaceRelations(leader, type) };
  });
  return { namespaces: namespaces.sort((a, b) => a.inode - b.inode), byProcess };
}

/** The tree of a list; what belongs to nothing in the list is at the top. */
export function namespaceTree(list: NamespaceList | readonly ListedNamespace[]): readonly NamespaceNode[] {
  const namespaces = 'namespaces' in list ? list.namespaces : list;
  const above = ({ type, parent, owner }: ListedNamespace) => (type === 'user' ? parent : owner);
  const isListed = (inode: number | undefined) => namespaces.some((one) => one.type === 'user' && one.inode === inode);
  const node = (namespace: ListedNamespace): NamespaceNode => ({
    namespace,
    children: namespace.type === 'user' ? namespaces.filter((one) => above(one) === namespace.inode).map(node) : [],
  });
  return namespaces.filter((one) => !isListed(above(one))).map(node);
}

const zero = 48;
const nine = 57;

type Leader = Pick<ListedNamespace, 'leader' | 'command' | 'uid' | 'user'>;

function readLeader(leader: number, users: ReadonlyMap<number, string>, commandFor: (pid: number) => string): Leader {
  const uid = statSync(`/proc/${leader}`, { throwIfNoEntry: false })?.uid ?? -1;
  return { leader, command: commandFor(leader), uid, user: users.get(uid) ?? `${uid}` };
}

function commandOf(pid: number): string {
  const line = readText(`/proc/${pid}/cmdline`).replace(/\0+$/, '').replaceAll('\0', ' ');
  return line === '' ? readText(`/proc/${pid}/comm`).trim() : line;
}

function readUsers(): ReadonlyMap<number, string> {
  const lines = readText('/etc/passwd')
    .split('\n')
    .map((line) => line.split(':'));
  return new Map(lines.flatMap(([name, , uid]) => (name && uid ? [[Number(uid), name] as const] : [])));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
