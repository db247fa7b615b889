import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { NsError } from '../base/errors';
import { parseObject, parseOneOf } from '../base/parse';
import { directoryOf, parseMemberships, readHierarchies, readText } from '../cgroup/hierarchies';
import { DBusConnection } from '../dbus/connection';
import type { DBusValue } from '../dbus/message';
import { closedError } from '../launcher/session';
import { parseSandboxOptions } from '../options/spec';
import { openRuntime } from '../runtime/open';

/** Options of {@link systemdScope}. */
export interface SystemdScopeOptions {
  /** The systemd instance: the user's own (default for unprivileged users), or the system's (default for root). */
  readonly manager?: 'user' | 'system';
}

/** A systemd scope in whose cgroup the cgroups of sandboxes can be made. */
export interface SystemdScope extends AsyncDisposable {
  readonly unit: string;
  /** Value for the option `cgroup`: `{ parent: scope.parent }`. */
  readonly parent: string;
  /** Releases the scope; sandboxes in it must have ended. */
  close(): Promise<void>;
}

let count = 0;

/**
 * Requests a scope with a delegated cgroup (systemd.scope(5), `Delegate=yes`) from systemd over D-Bus. This process is
 * not moved: an idle process of nsjs holds the scope and ends with this process. Requires cgroups of version 2. Rejects
 * with NsError ERR_NSJS_UNSUPPORTED if no systemd answers or cgroups are of version 1, and with ERR_NSJS_DBUS and
 * systemd's message if systemd refuses.
 */
export async function systemdScope(options: SystemdScopeOptions = {}): Promise<SystemdScope> {
  const given = parseObject(options, '', ['manager']);
  const own = process.geteuid?.() === 0 ? 'system' : 'user';
  const manager = given.manager === undefined ? own : parseOneOf(given.manager, 'manager', ['user', 'system']);
  const mount = readHierarchies().mounts.find(({ version }) => version === 2);
  if (!mount || readText(join(mount.directory, 'cgroup.controllers')).trim() === '')
    throw unsupported('the cgroup controllers are not on version 2', 'boot with systemd.unified_cgroup_hierarchy=1');
  const spec = parseSandboxOptions({ preset: 'none', cgroup: 'off', verify: false });
  const { runtime } = await openRuntime(spec, undefined);
  let connection: DBusConnection | undefined;
  try {
    connection = await openManager(manager);
    const pid = runtime.initPid;
    // systemd takes pid 0 as the caller, which is this process.
    if (pid === undefined) throw closedError();
    const unit = `nsjs-${process.pid}-${count++}.scope`;
    await start(connection, unit, pid);
    const parent = await groupOf(pid, unit);
    // A cgroup that has processes of its own cannot pass controllers on.
    const holder = join(directoryOf(mount, parent), 'holder');
    mkdirSync(holder);
    writeFileSync(join(holder, 'cgroup.procs'), `${pid}`);
    const close = () => runtime.close();
    return { unit, parent, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await runtime.close();
    throw error;
  } finally {
    connection?.close();
  }
}

async function openManager(manager: 'user' | 'system'): Promise<DBusConnection> {
  const { XDG_RUNTIME_DIR: runtime = `/run/user/${process.geteuid?.()}`, DBUS_SESSION_BUS_ADDRESS: address = '' } = process.env;
  const [, session = join(runtime, 'bus')] = /^unix:path=([^,;]+)/.exec(address) ?? [];
  // Like systemctl, tries systemd's own socket before a bus, which may not be running or may have to be started first.
  const ways = {
    user: [
      { path: join(runtime, 'systemd/private'), isBus: false },
      { path: session, isBus: true },
    ],
    system: [
      ...(process.geteuid?.() === 0 ? [{ path: '/run/systemd/private', isBus: false }] : []),
      { path: '/run/dbus/system_bus_socket', isBus: true },
    ],
  }[manager];
  for (const { path, isBus } of ways) if (existsSync(path)) return DBusConnection.open(path, isBus);
  throw unsupported(`no systemd ${manager} manager is listening`, `looked for ${ways.map(({ path }) => path).join(' and ')}`);
}

function start(connection: DBusConnection, unit: string, pid: number): Promise<void> {
  const property = (name: string, value: DBusValue): DBusValue => ({
    type: 'r',
    value: [
      { type: 's', value: name },
      { type: 'v', value },
    ],
  });
  return connection.call({
    destination: 'org.freedesktop.systemd1',
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member: 'StartTransientUnit',
    body: [
      { type: 's', value: unit },
      { type: 's', value: 'fail' },
      {
        type: 'a',
        of: '(sv)',
        value: [
          property('Description', { type: 's', value: 'Sandboxes of nsjs' }),
          property('Delegate', { type: 'b', value: true }),
          property('PIDs', { type: 'a', of: 'u', value: [{ type: 'u', value: pid }] }),
        ],
      },
      { type: 'a', of: '(sa(sv))', value: [] },
    ],
  });
}

const pollMs = 10;
const polls = 500;

// systemd completes the job shortly after its reply.
async function groupOf(pid: number, unit: string): Promise<string> {
  for (let attempt = 0; attempt < polls; attempt++) {
    const path = parseMemberships(readText(`/proc/${pid}/cgroup`)).find(({ controllers }) => controllers.length === 0)?.path;
    if (path?.endsWith(`/${unit}`)) return path;
    await pause(pollMs);
  }
  throw unsupported(`systemd did not start ${unit}`, `see journalctl -u ${unit} for the cause`);
}

const unsupported = (reason: string, hint: string) => new NsError('ERR_NSJS_UNSUPPORTED', `systemd: ${reason}`, { hint });
