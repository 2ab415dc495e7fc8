import { describe, expect, it } from '@jest/globals';
import { networkOf } from './network.js';

describe('the network of', () => {
  it.each([
    ['an IPv4 address', '203.0.113.7', '203.0.113.7'],
    ['an IPv4 address that came as IPv6', '::ffff:203.0.113.7', '203.0.113.7'],
    ['the same in hexadecimal', '::ffff:cb00:7107', '::ffff:cb00:7107'],
    ['an IPv6 address', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['its neighbour', '2001:0DB8:0001:0002:ffff::', '2001:db8:1:2::/64'],
    ['one that is shortened in the first half', '2001:db8::7', '2001:db8:0:0::/64'],
    ['one that ends in an IPv4 address', '64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
    ['this machine', '::1', '0:0:0:0::/64'],
    ['an address with its interface', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['garbage', 'not an address', ''],
    ['nothing', undefined, ''],
  ])('%s', (_, address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
