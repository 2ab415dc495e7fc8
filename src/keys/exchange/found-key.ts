import type { KeyObject } from 'node:crypto';
import type { Algorithm, Instant } from '../signing-key.js';

/** A key as a file holds it, and what the file says of it. Nothing of it is judged yet. */
export interface FoundKey {
  /** Which one, in words, for a refusal: `the key`, `key 2 of 3`, `key 2 of 3 (kid "a")`. */
  readonly where: string;
  /** A private, public or, for HMAC, secret key. */
  readonly key: KeyObject;
  readonly kid?: string | undefined;
  readonly algorithm?: Algorithm | undefined;
  readonly createdAt?: Instant | undefined;
  readonly expiresAt?: Instant | undefined;
}

/** Names an entry of a list; alone it is `the key`. */
export const nameOf = (index: number, count: number, kid?: string | number | null): string => {
  const place = count === 1 ? 'the key' : `key ${index + 1} of ${count}`;
  return kid === undefined || kid === null ? place : `${place} (kid ${JSON.stringify(String(kid).slice(0, 64))})`;
};
