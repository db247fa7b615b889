// Closes sandboxes that a failed test has left open: they must not disturb later files or keep the process alive.
import { Sandbox } from 'nsjs';

afterAll(async () => {
  await Promise.all(Sandbox.list().map((sandbox) => sandbox.close()));
});
