import { readdirSync, readFileSync, statSync } from 'node:fs';
import { parseArray, parseObject, parseOneOf } from '../base/parse';
import { type NamespaceType, namespaceTypes } from '../features/namespaces';
import { namespaceLinksOf, readNamespaceRelations } from '../sys/ns-links';

/** A namespace with at least one process, as lsns(8) shows it. */
export interface ListedNamespace {
  readonly type: NamespaceType;
  /** Inode number, as in the target of the link /proc/<pid>/ns/<type>. */
  readonly inode: number;
  /** Pids of its processes that the caller may see, in ascending order. */
  readonly processes: readonly number[];
  /** The lowest of these pids. */
  readonly leader: number;
  /** Command line of the leader, or its name if it has no command line. */
  readonly command: string;
  /**
   * User of the leader: uid as mapped in the caller's user namespace, and name from /etc/passwd or else the uid as
   * text.
   */
  readonly uid: number;
  readonly user: string;
  /** Inode of the parent. Only for pid and user namespaces, and undefined if the caller may not see the parent. */
  readonly parent?: number;
  /** Inode of the owning user namespace. Undefined if the caller may not see it. */
  readonly owner?: number;
}

/** Result of {@link listNamespaces}. Plain data. */
export interface NamespaceList {
  readonly namespaces: readonly ListedNamespace[];
  /** Inodes of the namespaces of each process, by pid and type. */
  readonly byProcess: ReadonlyMap<number, Readonly<Partial<Record<NamespaceType, number>>>>;
}

/**
 * A namespace and its children. A user namespace is the child of its parent, any other of the user namespace that owns
 * it.
 */
export interface NamespaceNode {
  readonly namespace: ListedNamespace;
  readonly children: readonly NamespaceNode[];
}

/**
 * Lists every namespace of the processes that the caller may see: a user's own processes, or all for root
 * (namespaces(7); parents and owners by ioctl_ns(2), Linux 4.9). Blocks for a few milliseconds. It can block longer,
 * because reading the command line of a process waits while that process changes its memory mappings. A process that
 * exits during the call is left out.
 */
export function listNamespaces(options: { readonly types?: readonly NamespaceType[] } = {}): NamespaceList {
  const given = parseObject(options, '', ['types']).types ?? namespaceTypes;
  const types = parseArray(given, 'types').map((type, index) => parseOneOf(type, `types[${index}]`, namespaceTypes));
  return namespacesOf(types, commandOf);
}

/**
 * Pids of the processes in a namespace, in ascending order. Does not read command lines, because a program can delay
 * that.
 */
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
      // Inode numbers are unique among namespaces of all types.
      const known = members.get(inode);
      if (known) known.processes.push(pid);
      else members.set(inode, { type, processes: [pid] });
    }
    byProcess.set(pid, found);
  }
  const users = readUsers();
  // One process is usually the leader of several namespaces: read it once.
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

/** Arranges a list as trees. A namespace whose parent or owner is not in the list is a root. */
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
