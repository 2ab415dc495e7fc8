import type { JWK } from 'jose';
import type { Algorithm } from '../config/settings.js';

export type { Algorithm };
export type Origin = 'generated' | 'imported' | 'renewed';
/** How a signing window begins. */
export type Activation = 'bootstrap' | 'scheduled' | 'early' | 'forced' | 'emergency';
/** Derived from timestamps and the clock, stored nowhere (NIST SP 800-57 part 1, section 7). */
export type KeyState = 'pending' | 'active' | 'retiring' | 'expired' | 'revoked';

/** Milliseconds since 1970, by the database's clock. */
export type Instant = number;

/** One version of the key that signs access tokens: facts, and the policy it was made under. */
export interface SigningKey {
  readonly version: number;
  readonly kid: string;
  readonly algorithm: Algorithm;
  /** False: kept only to verify tokens signed elsewhere. */
  readonly signs: boolean;
  readonly origin: Origin;
  readonly renewedFrom: number | null;
  readonly activation: Activation | null;
  /** Null for HMAC, which has no public half. */
  readonly publicJwk: JWK | null;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string | null;
  readonly publishedAt: Instant;
  readonly activatesAt: Instant;
  /** Exclusive; null: open until a successor is due. */
  readonly retiresAt: Instant | null;
  readonly expiresAt: Instant | null;
  /** Milliseconds, as are the two below. */
  readonly lead: number;
  readonly maxTokenTtl: number;
  readonly verifyTail: number;
  readonly revokedAt: Instant | null;
  readonly revocationReason: string | null;
  readonly privateKeyDestroyedAt: Instant | null;
}

type Lifetime = Pick<SigningKey, 'activatesAt' | 'retiresAt' | 'expiresAt' | 'revokedAt'>;

/**
 * The state of a key now or later. The same rule as `keyturn.key_state` in SQL, which also looks back: here a revoked key is dead even
 * when the clock was set back since, or is behind on this server.
 */
export function stateOf(key: Lifetime, now: Instant): KeyState {
  if (key.revokedAt !== null) return 'revoked';
  if (now < key.activatesAt) return 'pending';
  if (key.retiresAt === null || now < key.retiresAt) return 'active';
  if (key.expiresAt === null || now < key.expiresAt) return 'retiring';
  return 'expired';
}

export const isHmac = (algorithm: Algorithm): boolean => algorithm.startsWith('HS');

/** May a token under this key still be accepted? A pending one counts within the skew of its activation. */
export function verifies(key: Lifetime, now: Instant, clockSkew: number): boolean {
  const state = stateOf(key, now);
  return state === 'active' || state === 'retiring' || (state === 'pending' && now >= key.activatesAt - clockSkew);
}

/** The key that signs now. The database's exclusion constraint allows one at most. */
export const signerAmong = <K extends SigningKey>(keys: readonly K[], now: Instant): K | undefined =>
  keys.find((key) => key.signs && stateOf(key, now) === 'active');

/** The next key: public already, not signing yet. */
export const standbyAmong = <K extends SigningKey>(keys: readonly K[], now: Instant): K | undefined =>
  keys
    .filter((key) => key.signs && stateOf(key, now) === 'pending')
    .toSorted((a, b) => a.activatesAt - b.activatesAt)[0];
