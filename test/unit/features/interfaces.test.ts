import { parseVeths } from '../../../dist/features/interfaces';
import { thrown } from '../../support/host';

test.each([
  [{ hostName: 'v0' }, 'network.veth.hostName'],
  [{ hostAddresses: ['10.0.0.1/24'] }, 'network.veth.hostAddresses'],
])('%j together with a network is an error that names the given option', (given, path) => {
  const network = { plug: {} };
  expect(thrown(() => parseVeths({ network, ...given }, 'network.veth', 0))).toMatchObject({ name: 'OptionError', path });
});
