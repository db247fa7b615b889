import { candidates, parseCommand } from '../../../dist/options/command';
import { thrown } from '../../support/host';

describe('a command and its arguments', () => {
  test.each([
    [undefined, []],
    [null, []],
    [[], []],
    [
      ['-c', '', 'a b'],
      ['-c', '', 'a b'],
    ],
  ])('the arguments %j are %j', (args, list) => {
    expect(parseCommand('sh', args)).toEqual({ file: 'sh', args: list });
  });

  test.each([
    ['', [], 'command', 'ERR_INVALID_ARG_VALUE'],
    [undefined, [], 'command', 'ERR_INVALID_ARG_TYPE'],
    [['sh'], [], 'command', 'ERR_INVALID_ARG_TYPE'],
    ['a\0b', [], 'command', 'ERR_INVALID_ARG_VALUE'],
    ['sh', '-c', 'args', 'ERR_INVALID_ARG_TYPE'],
    ['sh', {}, 'args', 'ERR_INVALID_ARG_TYPE'],
    ['sh', ['a', 1], 'args[1]', 'ERR_INVALID_ARG_TYPE'],
    ['sh', ['a', 'b', 'c\0'], 'args[2]', 'ERR_INVALID_ARG_VALUE'],
    ['sh', new Array(1), 'args[0]', 'ERR_INVALID_ARG_TYPE'],
  ])('%j with %j is an error in %s', (file, args, path, code) => {
    expect(thrown(() => parseCommand(file, args))).toMatchObject({ path, code });
  });

  test('an empty command is named in the message', () => {
    expect(thrown(() => parseCommand('', [])).message).toBe('command: expected a command, received an empty string');
  });
});

test.each([
  ['/bin/sh', '/usr/bin', ['/bin/sh']],
  ['./run', '/usr/bin', ['./run']],
  ['bin/run', undefined, ['bin/run']],
  ['sh', '/usr/local/bin:/usr/bin', ['/usr/local/bin/sh', '/usr/bin/sh']],
  ['sh', undefined, ['/bin/sh', '/usr/bin/sh']],
  ['sh', '', ['./sh']],
  ['sh', '/bin::tools', ['/bin/sh', './sh', 'tools/sh']],
])('%s with PATH %p is searched for at %j', (file, path, paths) => {
  expect(candidates(file, path)).toEqual(paths);
});
