import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { AuthenticatedUser } from '../../common/access.js';
import { KeyRing } from '../../keys/ring/key-ring.js';
import { AccessTokenVerifier } from './access-token-verifier.js';
import type { AccessTokenClaims } from './parse-access-token.js';

/** Tokens remembered at most; about 1.5 KiB each. */
const CAPACITY = 10_000;

/**
 * Tokens whose parse and signature need not be done again. Only those two are spared: key, time, session and user are judged on every
 * request, so that nothing dead is kept alive.
 */
@Injectable()
export class VerifiedTokens {
  private readonly verified = new LRUCache<
    string,
    { readonly claims: AccessTokenClaims; readonly version: number; readonly kid: string }
  >({
    max: CAPACITY,
  });

  constructor(
    private readonly ring: KeyRing,
    private readonly verifier: AccessTokenVerifier,
  ) {}

  remember(token: string, claims: AccessTokenClaims, key: { readonly kid: string; readonly version: number }): void {
    this.verified.set(token, { claims, kid: key.kid, version: key.version });
  }

  /**
   * Judges a token seen before, at once; undefined when it must be verified in full.
   * @throws TokenRefused, KeyturnError
   */
  judge(token: string): AuthenticatedUser | undefined {
    const seen = this.verified.get(token);
    const key = seen && this.ring.get(seen.kid);
    if (!seen || key?.version !== seen.version) return undefined;
    return this.verifier.judgeFromMemory({ claims: seen.claims, key });
  }

  /** A token that was refused has nothing to do here. */
  forget(token: string): void {
    this.verified.delete(token);
  }
}
