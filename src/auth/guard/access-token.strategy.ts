import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import { Strategy } from 'passport-jwt';
import type { AuthenticatedUser } from '../../common/access.js';
import { checkSignature, type AccessTokenVerifier, type ResolvedToken } from '../token/access-token-verifier.js';

/** What the guard hands the strategy with a request, and the strategy leaves there. */
export interface GuardedRequest {
  verification?: {
    readonly token: string;
    /** The judge of the application that the request came to. */
    readonly verifier: AccessTokenVerifier;
    resolved?: ResolvedToken;
  };
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

function verificationOf({ verification }: GuardedRequest): NonNullable<GuardedRequest['verification']> {
  if (!verification) throw new Error('the strategy was called by somebody else than our guard');
  return verification;
}

/** Resolves the token's key. A failure is handed on as it is: the guard tells a bad token from keys that cannot be had. */
async function handKey(request: GuardedRequest, token: string, done: KeyCallback): Promise<void> {
  let pinned: PinnedKey;
  try {
    const verification = verificationOf(request);
    verification.resolved = await verification.verifier.resolve(token);
    pinned = new PinnedKey(verification.resolved.key);
  } catch (error) {
    return done(error);
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the type knows text and bytes only; our verifier above takes what we give
  return done(null, pinned as never);
}

/**
 * Passport keeps one strategy of a name for the whole process, and two applications may live in it: so this one keeps nothing of its own,
 * everything comes with the request.
 */
@Injectable()
export class AccessTokenStrategy extends PassportStrategy(Strategy, STRATEGY) {
  constructor() {
    super({
      passReqToCallback: true,
      jwtFromRequest: (request: GuardedRequest) => verificationOf(request).token,
      secretOrKeyProvider: (request: GuardedRequest, token: string, done: KeyCallback) =>
        void handKey(request, token, done),
    });
  }

  /** After the signature is known to be good. */
  async validate(request: GuardedRequest): Promise<AuthenticatedUser> {
    const { verifier, resolved } = verificationOf(request);
    if (!resolved) throw new Error('validate() before a key was resolved');
    return verifier.judge(resolved);
  }
}
