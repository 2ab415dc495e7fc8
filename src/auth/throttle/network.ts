import { addressText } from '../login-history/attempt.js';

/**
 * Whose address it is, as far as an address says: an IPv4 address, or the first 64 bits of an IPv6 address, of which everybody has 2^64
 * (RFC 6177). What is no address is all one network.
 */
export function networkOf(address: string | undefined): string {
  const plain = addressText(address);
  if (plain === undefined) return '';
  if (!plain.includes(':')) return plain;
  // As browsers write it: no leading zeros, lower case, one `::` at most (RFC 5952).
  const canonical = new URL(`http://[${plain}]`).hostname.slice(1, -1);
  if (/^::ffff:[^:]+:[^:]+$/.test(canonical)) return canonical; // IPv4 in IPv6
  const [head = [], tail] = canonical.split('::').map((part) => part.split(':').filter((group) => group !== ''));
  const groups = tail ? [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail] : head;
  return `${groups.slice(0, 4).join(':')}::/64`;
}
