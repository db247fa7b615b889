import { clearTimeout, setTimeout } from 'node:timers';
import { onRelease } from '../base/kept';
import { boundsText, loopbackBounds } from '../features/network-bounds';
import { mayBeSpare } from '../features/network-kind';
import type { Spec } from '../features/spec';
import { host } from '../host/host';
import { native } from '../native/addon';
import { close } from '../sys/file';

const idleMs = 10_000;

const bounds = boundsText(loopbackBounds);

let timer: NodeJS.Timeout | undefined;
let isWanted = false;

/**
 * Whether a sandbox can start with a network namespace made in advance. Unprivileged users cannot: the user namespace
 * around it would need a process.
 */
export const wantsSpareNet = (spec: Spec): boolean => host().privileged && mayBeSpare(spec);

/**
 * Returns a network namespace that was made for the next sandbox; the caller closes it. Returns undefined if there is
 * none.
 */
export function takeSpareNet(): number | undefined {
  // A second sandbox within 10 seconds makes a third likely.
  isWanted = timer !== undefined;
  if (timer) timer.refresh();
  else timer = setTimeout(dropSpareNet, idleMs).unref();
  const fd = native().takeNet(0);
  return fd < 0 ? undefined : fd;
}

/** Called when a sandbox has started: makes a network namespace for the next one in the background. */
export function makeSpareNet(): void {
  if (isWanted) native().makeNet(bounds);
}

/** Drops the network namespace, also one that is still being made. Returns whether there was one. */
function dropSpareNet(): boolean {
  clearTimeout(timer);
  timer = undefined;
  isWanted = false;
  const fd = native().takeNet(1);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

onRelease(dropSpareNet);
