import { readlinkSync } from 'node:fs';
import type { NamespaceType } from 'nsjs';

export const inodeOf = (type: NamespaceType, pid: number | 'self' = 'self') =>
  Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[1]);
