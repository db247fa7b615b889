import { cgroups } from '../../support';

export const mebibyte = 2 ** 20;

export const eat = (megabytes: number) => ['-e', `my @a; push @a, "x" x 1048576 for 1..${megabytes}; print "ate"`] as const;

export const spin = ['-c', 'while :; do :; done'] as const;

export const hasCpu = cgroups.version !== undefined && 'cpu' in cgroups.parents;
