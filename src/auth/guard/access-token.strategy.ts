import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import { Strategy } from 'passport-jwt';
import type { AuthenticatedUser } from '../../common/access.js';
import { AccessTokenVerifier, checkSignature, type ResolvedToken } from '../token/access-token-verifier.js';
import { VerifiedTokens } from '../token/verified-tokens.js';

/** Where the guard leaves the token it found, and the strategy what it made of it. */
export interface GuardedRequest {
  accessToken?: string;
  resolvedToken?: ResolvedToken;
}

/**
 * passport-jwt's algorithms are fixed when the strategy is made, but each of our keys has its own. So the strategy hands over a key
 * together with its algorithm, and this verifier, which passport-jwt calls for every strategy of the process, pins it. Whatever is not
 * such a pair goes to the verifier that was there before.
 */
class PinnedKey {
  constructor(readonly key: ResolvedToken['key']) {}
}

type Verifier = (
  token: string,
  key: unknown,
  options: unknown,
  done: (error: unknown, payload?: unknown) => void,
) => void;
const passportJwt: { JwtVerifier?: Verifier } = Object(Strategy);
const usual = passportJwt.JwtVerifier;
passportJwt.JwtVerifier = (token, key, options, done) => {
  if (!(key instanceof PinnedKey)) return usual?.(token, key, options, done);
  try {
    checkSignature(token, key.key);
  } catch (error) {
    return done(error);
  }
  return done(null, {});
};

export const STRATEGY = 'keyturn';

type KeyCallback = (error: unknown, key?: string | Buffer) => void;

/** Resolves the token's key. A failure is handed on as it is: the guard tells a bad token from keys that cannot be had. */
async function handKey(
  verifier: AccessTokenVerifier,
  request: GuardedRequest,
  token: string,
  done: KeyCallback,
): Promise<void> {
  let pinned: PinnedKey;
  try {
    request.resolvedToken = await verifier.resolve(token);
    pinned = new PinnedKey(request.resolvedToken.key);
  } catch (error) {
    return done(error);
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the type knows text and bytes only; our verifier above takes what we give
  return done(null, pinned as never);
}

@Injectable()
export class AccessTokenStrategy extends PassportStrategy(Strategy, STRATEGY) {
  constructor(
    private readonly verifier: AccessTokenVerifier,
    private readonly verified: VerifiedTokens,
  ) {
    super({
      passReqToCallback: true,
      jwtFromRequest: (request: GuardedRequest) => request.accessToken ?? null,
      secretOrKeyProvider: (request: GuardedRequest, token: string, done: KeyCallback) =>
        void handKey(verifier, request, token, done),
    });
  }

  /** After the signature is known to be good. */
  async validate(request: GuardedRequest): Promise<AuthenticatedUser> {
    const { accessToken, resolvedToken } = request;
    if (accessToken === undefined || !resolvedToken) throw new Error('validate() before a key was resolved');
    const user = await this.verifier.judge(resolvedToken);
    this.verified.remember(accessToken, resolvedToken.claims, resolvedToken.key);
    return user;
  }
}
