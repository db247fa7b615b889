import timers from 'node:timers';
import { asMicrotask } from '../../../dist/base/microtask';

afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

test('a microtask runs after the current code and before later ones, also with fake timers', async () => {
  jest.useFakeTimers();
  const order: string[] = [];
  asMicrotask(() => order.push('microtask'));
  const later = Promise.resolve().then(() => order.push('later'));
  order.push('code');
  await later;
  expect(order).toEqual(['code', 'microtask', 'later']);
});

test('an exception of a microtask is thrown outside of any promise', async () => {
  const immediate = jest.spyOn(timers, 'setImmediate').mockReturnValue({} as NodeJS.Immediate);
  asMicrotask(() => {
    throw new Error('from a listener');
  });
  await new Promise((done) => setTimeout(done));
  const [[rethrow]] = immediate.mock.calls as [[() => void]];
  expect(rethrow).toThrow('from a listener');
});
