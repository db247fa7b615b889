import { probe } from '../probe/probe';
import { print, printJson } from './print';

/** Prints the features of the host. Returns exit code 1 if the default sandbox does not work. */
export async function runProbe(json: boolean): Promise<number> {
  const found = await probe();
  if (json) printJson(found);
  else {
    print(`Linux ${found.kernel}, ${found.privileged ? 'root' : 'unprivileged'}`);
    for (const [name, { available, reason, fix }] of Object.entries(found.features)) {
      print(`${available ? 'yes' : 'no '}  ${name}`);
      if (!available) print(`       ${reason}\n       fix: ${fix?.replaceAll('\n', '\n            ')}`);
    }
    const missing = Object.entries(found.calls).filter(([, { available }]) => !available);
    for (const [name, { since }] of missing) print(`no   ${name} (nsjs/sys): needs Linux ${since} or later`);
  }
  return found.ok ? 0 : 1;
}
