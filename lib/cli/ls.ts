import { parseArgs } from 'node:util';
import { parseOneOf } from '../base/parse';
import { namespaceTypes } from '../features/namespaces';
import { type ListedNamespace, listNamespaces, type NamespaceNode, namespaceTree } from '../namespace/list';
import { print, printJson } from './print';
import { table as formatTable } from './table';

export const lsUsage = `options of ls:
  --type TYPE[,TYPE]             only these types (${namespaceTypes.join(', ')})
  --tree                         as a tree, below the user namespaces that own them
  --json                         as JSON`;

const known = {
  help: { type: 'boolean', short: 'h' },
  type: { type: 'string' },
  tree: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;
const columns = ['NS', 'TYPE', 'NPROCS', 'PID', 'USER', 'COMMAND'] as const;

/** Prints the namespaces that the caller may see. Returns exit code 0. */
export function runLs(words: readonly string[]): number {
  const { values } = parseArgs({ args: [...words], options: known });
  if (values.help) {
    print(lsUsage);
    return 0;
  }
  const types = values.type?.split(',').map((name) => parseOneOf(name, '--type', namespaceTypes)) ?? namespaceTypes;
  const { namespaces } = listNamespaces({ types });
  if (values.json) printJson(values.tree ? namespaceTree(namespaces) : namespaces);
  else print(table(values.tree ? flatten(namespaceTree(namespaces)) : namespaces.map((namespace) => ({ namespace, indent: '' }))));
  return 0;
}

interface Row {
  readonly namespace: ListedNamespace;
  readonly indent: string;
}

function flatten(nodes: readonly NamespaceNode[], indent = ''): readonly Row[] {
  return nodes.flatMap(({ namespace, children }, index) => {
    const isLast = index === nodes.length - 1;
    return [{ namespace, indent: `${indent}${isLast ? '└─' : '├─'}` }, ...flatten(children, `${indent}${isLast ? '  ' : '│ '}`)];
  });
}

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ namespace: { inode, type, processes, leader, user, command }, indent }) => [
    `${indent}${inode}`,
    type,
    `${processes.length}`,
    `${leader}`,
    user,
    command,
  ]);
  return formatTable(columns, cells, ['NPROCS', 'PID']);
}
