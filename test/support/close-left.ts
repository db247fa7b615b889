// A test that fails before it closes its sandbox must fail alone: neither the files after it, nor the end of the process.
import { Sandbox } from 'nsjs';

afterAll(async () => {
  await Promise.all(Sandbox.list().map((sandbox) => sandbox.close()));
});
