import { deferred } from '../../../dist/base/deferred';

test('a deferred promise is settled from outside, once', async () => {
  const { promise, resolve, reject } = deferred<number>();
  resolve(1);
  resolve(2);
  reject(new Error('too late'));
  await expect(promise).resolves.toBe(1);
});

test('a deferred promise can be rejected', async () => {
  const { promise, reject } = deferred<number>();
  const error = new Error('closed');
  reject(error);
  await expect(promise).rejects.toBe(error);
});
