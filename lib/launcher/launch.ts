import { debuglog } from 'node:util';
import { releaseKept } from '../base/kept';
import { bare } from '../base/parse';
import type { Context, Program } from '../features/feature';
import type { Spec } from '../features/spec';
import { outsideIds } from '../features/user';
import { host } from '../host/host';
import type { LiveNetwork } from '../network/setup/sandbox-network';
import type { ParsedOptions } from '../options/options';
import { sections } from '../plan/operation';
import type { LaunchPlan } from '../plan/writer';
import type { GroupsKind } from '../setup/choose-cgroup';
import { openContext } from '../setup/context';
import { planFor } from '../setup/plan-cache';
import { keepPins } from '../setup/shared-pins';
import { cleanupPlan, writePlan } from '../setup/write-plan';
import type { FactTexts } from './fact-texts';
import { closeLauncher, openLauncher } from './image';
import { Session } from './session';
import { sharing } from './shared-descriptors';
import { sharedRoot } from './shared-roots';

const debug = debuglog('nsjs');

/** A launcher that runs for parsed options. */
export interface Launched {
  readonly session: Session;
  readonly plan: LaunchPlan;
  readonly context: Context;
  /** The network that was set up for the sandbox; to be closed when the sandbox is gone. */
  readonly network?: LiveNetwork | undefined;
  /** This side's descriptor for each descriptor of the program, by the program's number; -1 where there is none. */
  readonly ours: readonly number[];
  /** Releases the state that this process keeps for the sandbox while it exists. */
  readonly forget?: (() => void) | undefined;
  /** Contents of /proc files, of a parked sandbox that was set up before its program. */
  readonly parkedFacts?: FactTexts | undefined;
}

/** Starts a launcher for parsed options, in one native call. Throws the error that kept it from starting. */
export function launch(parsed: Pick<ParsedOptions, 'spec' | 'program'>, kind: GroupsKind = 'run'): Launched {
  try {
    return launchNow(parsed, kind);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EMFILE' && code !== 'ENFILE') throw error;
    // Resources kept for future sandboxes must not make this one fail: release them and try again.
    if (!releaseKept()) throw error;
    return launchNow(parsed, kind);
  }
}

function launchNow({ spec, program }: Pick<ParsedOptions, 'spec' | 'program'>, kind: GroupsKind): Launched {
  const { begun, restore } = sharing(bare(program), host().privileged, (shared) => openSession(spec, shared, kind));
  const { forget } = begun;
  const both = () => {
    restore?.();
    forget?.();
  };
  return restore ? bare({ ...begun, forget: both }) : begun;
}

function openSession(spec: Spec, program: Program, kind: GroupsKind): Launched {
  const context = openContext(spec, program, kind, (recipe) => sharedRoot(recipe, spec.launcherPath));
  const { network } = context;
  try {
    const plan = kind === 'sandbox' ? writePlan(spec, context) : planFor(spec, context);
    const launcher = openLauncher(spec.launcherPath);
    try {
      const session = new Session(plan, launcher, context.hostId === undefined ? undefined : outsideIds(spec, context).uid);
      if (debug.enabled)
        debug(
          'launched for %s: %d operations',
          program.argv[0],
          sections.reduce((sum, name) => sum + plan.section(name).length, 0),
        );
      return bare({
        session,
        plan,
        context,
        ours: plan.stdio.map((slot) => session.ours[slot.index] ?? -1),
        ...(network ? { network } : {}),
        ...(spec.mounts.length > 1 ? { forget: keepPins(spec) } : {}),
      });
    } finally {
      closeLauncher(launcher);
    }
  } catch (error) {
    network?.close();
    throw error;
  } finally {
    context.release();
  }
}

/**
 * Starts a launcher that only cleans up after one that could not. Returns undefined if there is nothing to clean up or
 * the launcher cannot be started.
 */
export function openCleanup(plan: LaunchPlan, launcherPath: string | undefined): Session | undefined {
  const cleanup = cleanupPlan(plan);
  if (!cleanup) return undefined;
  try {
    const launcher = launcherPath === undefined ? -1 : openLauncher(launcherPath);
    try {
      return new Session(cleanup, launcher, undefined);
    } finally {
      closeLauncher(launcher);
    }
  } catch (error) {
    debug('could not clean up: %s', (error as Error).message);
    return undefined;
  }
}
