import { Injectable } from '@nestjs/common';
import jsonwebtoken from 'jsonwebtoken';
import type { AuthenticatedUser } from '../../common/access.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { KeyRefresh } from '../../keys/ring/key-refresh.js';
import type { RingKey } from '../../keys/ring/key-ring.js';
import { SessionMemory } from '../session/session-memory.js';
import type { Session } from '../session/session-store.js';
import { MalformedToken, parseAccessToken, type AccessTokenClaims } from './parse-access-token.js';
import { TokenSettings } from './token-settings.js';

/** Why a token is not accepted. The reason is for logs and `token inspect`; over HTTP there are two answers only. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';

  /** @param reason stable, snake_case; `expired` only for a genuine token past its time under a key still good */
  constructor(
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`The access token is refused: ${reason}`, options);
  }
}

/** A token whose shape is right, and the key that it names. Nothing it says is believed yet. */
export interface ResolvedToken {
  readonly claims: AccessTokenClaims;
  readonly key: RingKey;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The one judge of access tokens, for the guard and for whoever inspects one. */
@Injectable()
export class AccessTokenVerifier {
  constructor(
    private readonly settings: TokenSettings,
    private readonly keys: KeyRefresh,
    private readonly sessions: SessionMemory,
    private readonly clock: DatabaseClock,
  ) {}

  /**
   * Everything, in order: shape, key, signature, claims, session.
   * @throws TokenRefused, or KeyturnError `keys_unavailable` or `database_unavailable` when it cannot be known
   */
  async verify(token: string): Promise<AuthenticatedUser> {
    const resolved = await this.resolve(token);
    checkSignature(token, resolved.key);
    return this.judge(resolved);
  }

  /** Strict parse, then the key by `kid`. The header's `alg` is compared with the key's own and chooses nothing (RFC 8725 section 3.1). */
  async resolve(token: string): Promise<ResolvedToken> {
    const { header, claims } = parse(token);
    const key = await this.keys.find(header.kid);
    if (!key) throw new TokenRefused('unknown_kid');
    if (header.alg !== key.algorithm) throw new TokenRefused('algorithm');
    return { claims, key };
  }

  /** Judges a token whose signature is good: key, time, session and user. Runs on every request. @throws TokenRefused, KeyturnError */
  async judge({ claims, key }: ResolvedToken): Promise<AuthenticatedUser> {
    this.judgeClaims(claims, key);
    if (!UUID.test(claims.sid) || !UUID.test(claims.sub)) throw new TokenRefused('session'); // ids, before any look-up
    return admit(claims, await this.sessions.find(claims.sid, claims.ver));
  }

  /** The same at once, or undefined when the session must be read first. @throws TokenRefused, KeyturnError */
  judgeFromMemory({ claims, key }: ResolvedToken): AuthenticatedUser | undefined {
    this.judgeClaims(claims, key);
    const session = this.sessions.recall(claims.sid, claims.ver);
    return session && admit(claims, session);
  }

  private judgeClaims(claims: AccessTokenClaims, key: RingKey): void {
    this.keys.refuseWhenCutOff();
    if (!this.keys.verifiesNow(key)) throw new TokenRefused('key_not_good');
    const { issuer, audience } = this.settings;
    if (claims.iss !== issuer) throw new TokenRefused('issuer');
    if (claims.aud !== audience && !(Array.isArray(claims.aud) && claims.aud.includes(audience)))
      throw new TokenRefused('audience');
    this.judgeTimes(claims, key);
  }

  private judgeTimes({ iat, exp, nbf }: AccessTokenClaims, key: RingKey): void {
    const now = this.clock.now();
    const skew = this.settings.clockSkew;
    const issuedAt = iat * 1_000;
    const end = key.signs ? (key.retiresAt ?? Infinity) + this.settings.refreshBound + skew : (key.expiresAt ?? 0);
    // Seconds are cut off downwards in `iat`, so a token of the key's first second seems up to one second older.
    if (issuedAt > end && issuedAt <= now + skew) this.keys.refuseWhenWindowMayHaveMoved(key);
    if (issuedAt < key.activatesAt - skew - 1_000 || issuedAt > end) throw new TokenRefused('outside_key_window');
    if ((exp - iat) * 1_000 > key.maxTokenTtl || exp <= iat) throw new TokenRefused('lifetime');
    if (issuedAt > now + skew) throw new TokenRefused('issued_in_the_future');
    if (nbf !== undefined && nbf * 1_000 > now + skew) throw new TokenRefused('not_yet');
    if (now >= exp * 1_000 + skew) throw new TokenRefused('expired');
  }
}

/** The user of a live session that is the token's own. @throws TokenRefused */
function admit(claims: AccessTokenClaims, session: Session | undefined): AuthenticatedUser {
  if (!session || session.userId !== claims.sub) throw new TokenRefused('session');
  if (session.ver !== claims.ver) throw new TokenRefused('user_changed');
  return {
    id: claims.sub,
    username: session.username,
    // Of the user, not of the token: whoever stole a signing key and a session gains no role by it.
    roles: session.roles,
    sessionId: claims.sid,
    tokenId: claims.jti,
    // And a fresh login is one that happened: it is the session's beginning, whatever the token says.
    authenticatedAt: Math.floor(session.createdAt / 1_000),
    expiresAt: claims.exp,
  };
}

function parse(token: string) {
  try {
    return parseAccessToken(token);
  } catch (error) {
    if (error instanceof MalformedToken) throw new TokenRefused(error.reason, { cause: error });
    throw error;
  }
}

/**
 * The signature and nothing else, with exactly the key's algorithm and a typed KeyObject. Times are judged by us, on the database's
 * clock; claims too, since the library lets `exp` be missing and knows neither `crit` nor `typ`.
 * @throws TokenRefused
 */
export function checkSignature(token: string, key: Pick<RingKey, 'algorithm' | 'verificationKey'>): void {
  if (!key.verificationKey) throw new TokenRefused('key_not_good');
  try {
    jsonwebtoken.verify(token, key.verificationKey, {
      algorithms: [key.algorithm],
      ignoreExpiration: true,
      ignoreNotBefore: true,
    });
  } catch (error) {
    // The key is a typed KeyObject of the algorithm's kind, so whatever fails here is the token's fault; the library throws plain
    // TypeErrors for an ECDSA signature of the wrong length.
    throw new TokenRefused('signature', { cause: error });
  }
}
