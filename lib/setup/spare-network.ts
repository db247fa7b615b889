import { clearTimeout, setTimeout } from 'node:timers';
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

/** Whether a sandbox can be started with one. A user would need a process for the user namespace around it. */
export const wantsSpareNet = (spec: Spec): boolean => host().privileged && mayBeSpare(spec);

/** A network namespace that was made for the next sandbox; the caller's to close. Undefined where there is none. */
export function takeSpareNet(): number | undefined {
  // The second one in a while lets expect a third.
  isWanted = timer !== undefined;
  if (timer) timer.refresh();
  else timer = setTimeout(dropSpareNet, idleMs).unref();
  const fd = native().takeNet(0);
  return fd < 0 ? undefined : fd;
}

/** A sandbox is up: makes one for the next, beside what runs now. */
export function makeSpareNet(): void {
  if (isWanted) native().makeNet(bounds);
}

/** Gives it back, also one that is being made. Whether there was any. */
export function dropSpareNet(): boolean {
  clearTimeout(timer);
  timer = undefined;
  isWanted = false;
  const fd = native().takeNet(1);
  if (fd >= 0) close(fd);
  return fd >= 0;
}
