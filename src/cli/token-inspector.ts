import type { INestApplicationContext } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import { SessionMemory } from '../auth/session/session-memory.js';
import { SessionStore } from '../auth/session/session-store.js';
import { AccessTokenVerifier, checkSignature, TokenRefused } from '../auth/token/access-token-verifier.js';
import { MalformedToken, parseAccessToken } from '../auth/token/parse-access-token.js';
import { TokenSettings } from '../auth/token/token-settings.js';
import { Tally } from '../common/tally.js';
import { CONFIG, type Config } from '../config/config.js';
import { DatabaseClock } from '../database/database-clock.js';
import { News } from '../database/news.js';
import { MalformedKey, verificationKey } from '../keys/key-material.js';
import { KeyRefresh, type Secrets } from '../keys/ring/key-refresh.js';
import { KeyRing } from '../keys/ring/key-ring.js';
import { isHmac, stateOf, verifies, type KeyState, type SigningKey } from '../keys/signing-key.js';
import { SigningKeyStore, type KeySet } from '../keys/store/signing-key-store.js';
import { KeySealing } from '../keys/vault/key-sealing.js';
import { LocalKeyVault } from '../keys/vault/local-key-vault.js';
import { inWords } from './keys-list.command.js';
import { refusalInWords } from './token-refusals.js';

/** What was found out about a token. Nothing of it makes the token again. */
export interface Inspection {
  readonly good: boolean;
  /** By what it was judged. */
  readonly judgedBy: 'the guard' | 'signature and exp alone' | 'its shape';
  /** Why it is refused, as a stable word; null when it is good. */
  readonly reason: string | null;
  readonly verdict: string;
  readonly key: {
    readonly kid: string;
    readonly version: number;
    readonly algorithm: string;
    readonly state: KeyState;
    readonly inWords: string;
  } | null;
  readonly signature: 'good' | 'bad' | 'not checked';
  readonly claims: z.output<typeof claimsSchema> | null;
  /** By the database's clock. */
  readonly checkedAt: string;
}

/** What a token may be asked before anything is known of it. Of another type, a member counts as absent. */
const word = z.string().optional().catch(undefined);
const seconds = z.number().min(0).max(8.64e12).optional().catch(undefined);
const headerSchema = z.object({ alg: z.string(), kid: word });
const claimsSchema = z.object({ iss: word, sub: word, sid: word, iat: seconds, exp: seconds });
type Claims = z.output<typeof claimsSchema>;

/** Malformed for the guard, and a JWT all the same: another `typ`, no kid, other header members, other claims. */
const BARE = /^(typ|kid|forbidden_header|claim:.*)$/;

/** A secret is needed to verify with; private halves are not, and stay sealed. */
class SecretsOnly extends LocalKeyVault {
  override load({ generation, keys }: KeySet): void {
    super.load({ generation, keys: keys.filter(({ key }) => isHmac(key.algorithm)) });
  }
}

/** Without a key-encryption key nothing is opened. */
const NO_SECRETS: Secrets = { load: () => undefined, secretOf: () => undefined };

/** Judges tokens with the guard's own verifier, over a key ring and sessions of its own. */
export class TokenInspector {
  private constructor(
    private readonly store: SigningKeyStore,
    private readonly vault: Secrets,
    private readonly verifier: AccessTokenVerifier,
    private readonly refresh: KeyRefresh,
    private readonly news: News,
    private readonly clockSkew: number,
  ) {}

  /** @param custody has the context custody? Without, no token of an HMAC key can be judged: its secret must be opened to verify with it */
  static over(context: INestApplicationContext, custody: boolean): TokenInspector {
    const config = context.get<Config>(CONFIG);
    const [store, clock, news] = [context.get(SigningKeyStore), context.get(DatabaseClock), context.get(News)];
    const ring = new KeyRing(clock);
    const vault = custody ? new SecretsOnly(context.get(KeySealing), new JwtService({})) : NO_SECRETS;
    const refresh = new KeyRefresh(config, store, ring, vault, clock, context.get(Tally));
    const sessions = new SessionMemory(new SessionStore(context.get(DataSource), config, clock), clock, news);
    const verifier = new AccessTokenVerifier(TokenSettings.of(config), refresh, sessions, clock);
    return new TokenInspector(store, vault, verifier, refresh, news, config.keys.clockSkew);
  }

  /** @throws KeyturnError `database_unavailable`, `keys_unavailable` */
  async inspect(token: string): Promise<Inspection> {
    await this.news.check(); // sets the clock
    await this.refresh.load();
    const { keys, now } = await this.store.all();
    const malformed = shapeProblem(token);
    const read = readLoosely(token);
    const checkedAt = new Date(now).toISOString();
    if (!read || (malformed !== undefined && !BARE.test(malformed))) {
      const reason = malformed ?? 'json';
      return {
        good: false,
        judgedBy: 'its shape',
        reason,
        verdict: `This is no token that could be judged: ${refusalInWords(reason)}.`,
        key: null,
        signature: 'not checked',
        claims: null,
        checkedAt,
      };
    }
    const { key, signature } = this.signedBy(token, read.header, keys);
    const facts = {
      key: key ? inShort(key, now) : null,
      signature,
      claims: read.claims,
      checkedAt,
    };
    const judged =
      malformed === undefined ? await this.asGuard(token) : this.asBare(malformed, signature, read.claims, key, now);
    return { ...judged, ...facts };
  }

  /** By the guard itself. */
  private async asGuard(token: string): Promise<Pick<Inspection, 'good' | 'judgedBy' | 'reason' | 'verdict'>> {
    try {
      const { username, roles } = await this.verifier.verify(token);
      const as = roles.length > 0 ? `${username} (${roles.join(', ')})` : username;
      return { good: true, judgedBy: 'the guard', reason: null, verdict: `The guard accepts it, as ${as}.` };
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      const { reason } = error;
      return {
        good: false,
        judgedBy: 'the guard',
        reason,
        verdict: `The guard refuses it: ${refusalInWords(reason)}.`,
      };
    }
  }

  /** As a program would that verifies with the public key and looks at nothing but the time. */
  private asBare(
    malformed: string,
    signature: Inspection['signature'],
    { exp }: Claims,
    key: SigningKey | undefined,
    now: number,
  ): Pick<Inspection, 'good' | 'judgedBy' | 'reason' | 'verdict'> {
    const reason = this.bareProblem(signature, exp, key, now);
    const judged = reason === null ? 'it is good' : `it is refused: ${refusalInWords(reason)}`;
    return {
      good: reason === null,
      judgedBy: 'signature and exp alone',
      reason,
      verdict: `This is not one of our access tokens (${refusalInWords(malformed)}), so the guard refuses it.\nBy its signature and exp alone, ${judged}.`,
    };
  }

  private bareProblem(
    signature: Inspection['signature'],
    exp: number | undefined,
    key: SigningKey | undefined,
    now: number,
  ): string | null {
    if (!key) return 'unknown_kid';
    if (signature !== 'good') return signature === 'bad' ? 'signature' : 'key_not_good';
    if (!verifies(key, now, this.clockSkew)) return 'key_not_good';
    if (exp === undefined) return 'claim:exp';
    return now >= exp * 1_000 ? 'expired' : null;
  }

  /** The key that the header names, of whatever state; without a kid, the one whose signature it bears. */
  private signedBy(
    token: string,
    { kid, alg }: z.output<typeof headerSchema>,
    keys: readonly SigningKey[],
  ): { readonly key: SigningKey | undefined; readonly signature: Inspection['signature'] } {
    if (kid !== undefined) {
      const key = keys.find((candidate) => candidate.kid === kid);
      return { key, signature: key ? this.check(token, key) : 'not checked' };
    }
    const key = keys.find((candidate) => candidate.algorithm === alg && this.check(token, candidate) === 'good');
    return { key, signature: key ? 'good' : 'not checked' };
  }

  private check(token: string, { algorithm, publicJwk, version }: SigningKey): Inspection['signature'] {
    try {
      const key = verificationKey(algorithm, publicJwk, this.vault.secretOf(version));
      if (!key) return 'not checked';
      checkSignature(token, { algorithm, verificationKey: key });
      return 'good';
    } catch (error) {
      if (error instanceof TokenRefused) return 'bad';
      if (error instanceof MalformedKey) return 'not checked';
      throw error;
    }
  }
}

const inShort = (key: SigningKey, now: number): NonNullable<Inspection['key']> => ({
  kid: key.kid,
  version: key.version,
  algorithm: key.algorithm,
  state: stateOf(key, now),
  inWords: inWords(key, now),
});

function shapeProblem(token: string): string | undefined {
  try {
    parseAccessToken(token);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedToken) return error.reason;
    throw error;
  }
}

/** Does the token say that an HMAC key signed it? */
export const namesSecret = (token: string): boolean => readLoosely(token)?.header.alg.startsWith('HS') ?? false;

function readLoosely(token: string): { header: z.output<typeof headerSchema>; claims: Claims } | undefined {
  try {
    const [header, claims] = token
      .split('.', 2)
      .map((segment): unknown => JSON.parse(Buffer.from(segment, 'base64url').toString('utf8')));
    return { header: headerSchema.parse(header), claims: claimsSchema.parse(claims) };
  } catch {
    return undefined;
  }
}
