import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { AuthenticatedUser } from '../../common/access.js';
import { KeyRing } from '../../keys/ring/key-ring.js';
import { AccessTokenVerifier } from './access-token-verifier.js';
import type { AccessTokenClaims } from './parse-access-token.js';

/** Tokens remembered at most; about 1.5 KiB each. */
const CAPACITY = 10_000;

interface Verified {
  readonly token: string;
  readonly claims: AccessTokenClaims;
  readonly version: number;
  readonly kid: string;
}

/** Where a token is kept: at the end of its signature. To hash all of it, a fresh string each time, would cost more than to judge it. */
const placeOf = (token: string): string => token.slice(-32);

/**
 * Tokens whose parse and signature need not be done again. Only those two are spared: key, time, session and user are judged on every
 * request, so that nothing dead is kept alive.
 */
@Injectable()
export class VerifiedTokens {
  private readonly verified = new LRUCache<string, Verified>({ max: CAPACITY });

  constructor(
    private readonly ring: KeyRing,
    private readonly verifier: AccessTokenVerifier,
  ) {}

  remember(token: string, claims: AccessTokenClaims, { kid, version }: Pick<Verified, 'kid' | 'version'>): void {
    this.verified.set(placeOf(token), { token, claims, kid, version });
  }

  /**
   * Judges a token seen before, at once; undefined when it must be verified in full.
   * @throws TokenRefused, KeyturnError
   */
  judge(token: string): AuthenticatedUser | undefined {
    const seen = this.verified.get(placeOf(token));
    // The whole token: whoever knows a signature may put anything before it.
    if (seen?.token !== token) return undefined;
    const key = this.ring.get(seen.kid);
    if (key?.version !== seen.version) return undefined;
    return this.verifier.judgeFromMemory({ claims: seen.claims, key });
  }

  /** A token that was refused has nothing to do here. */
  forget(token: string): void {
    const place = placeOf(token);
    if (this.verified.peek(place)?.token === token) this.verified.delete(place);
  }
}
