import { KeyturnError } from '../../common/errors.js';

/** Why keys from outside are not taken, or ours not given out: stable words for scripts, in `details.reason`. */
export type ExchangeRefusal =
  // the file
  | 'file_unreadable'
  | 'file_too_large'
  | 'others_may_read'
  | 'unknown_format'
  | 'damaged'
  | 'passphrase_missing'
  | 'wrong_passphrase'
  | 'several_keys'
  | 'no_key'
  | 'private_expected'
  | 'public_expected'
  // the key
  | 'key_type'
  | 'modulus'
  | 'exponent'
  | 'curve'
  | 'algorithm'
  | 'hmac_too_short'
  | 'use'
  | 'key_ops'
  | 'halves_differ'
  | 'revoked'
  // its name and times
  | 'kid'
  | 'kid_missing'
  | 'kid_taken'
  | 'time'
  | 'expiry_missing'
  | 'expired'
  | 'not_found'
  | 'no_public_half';

/** A refusal in words. The sentence names the offender and never shows key material. */
export const refusal = (reason: ExchangeRefusal, sentence: string): KeyturnError =>
  new KeyturnError('key_change_refused', sentence, { reason });
