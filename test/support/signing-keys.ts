import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import type { ClientBase, QueryResult } from 'pg';

/** A row of keyturn.signing_keys as `pg` gives it, without its policy. */
export interface KeyRow {
  readonly version: number;
  readonly kid: string;
  readonly algorithm: string;
  readonly signs: boolean;
  readonly origin: string;
  readonly renewed_from: number | null;
  readonly activation: string | null;
  readonly public_jwk: JWK | null;
  readonly thumbprint: string | null;
  readonly published_at: Date;
  readonly activates_at: Date;
  readonly retires_at: Date | null;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly revocation_reason: string | null;
  readonly private_key_destroyed_at: Date | null;
}

export const second = 1_000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

/** The policy of the rows made here: the product's defaults, in milliseconds. */
export const lead = hour;
export const maxTokenTtl = hour;
export const verifyTail = hour + minute;

export interface TestPair {
  readonly algorithm: string;
  /** Both null for HMAC. */
  readonly publicJwk: JWK | null;
  readonly thumbprint: string | null;
}

export async function newPair(): Promise<TestPair> {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicJwk = publicKey.export({ format: 'jwk' });
  return { algorithm: 'ES256', publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

export const hmac: TestPair = { algorithm: 'HS256', publicJwk: null, thumbprint: null };

export interface NewKey {
  /** Milliseconds from the instant of the change. */
  readonly activatesIn?: number;
  readonly activation?: 'bootstrap' | 'scheduled' | 'early' | 'forced' | 'emergency';
  readonly pair?: TestPair;
  readonly renewedFrom?: number;
  readonly version?: number;
  readonly publishedIn?: number;
}

/**
 * Writes a key that signs, and its sealed private half, as the server does: in one statement with the end of the open window,
 * so that windows meet. Without `activatesIn` and `activation` it is a standby, due in 30 days.
 */
export async function publishKey(db: ClientBase, key: NewKey = {}): Promise<KeyRow> {
  const pair = key.pair ?? (await newPair());
  const { rows: next } = await db.query<{ version: number }>(
    'SELECT coalesce(max(version), 0) + 1 AS version FROM keyturn.signing_keys',
  );
  const version = key.version ?? next[0]?.version;
  const result = await db.query<KeyRow>(
    `WITH due AS (
       SELECT keyturn.begin_change() + $7 * interval '1 millisecond' AS at,
         keyturn.begin_change() + $8 * interval '1 millisecond' AS published
     ), predecessor AS (
       UPDATE keyturn.signing_keys SET retires_at = due.at, expires_at = due.at + verify_tail
       FROM due WHERE signs AND revoked_at IS NULL AND retires_at IS NULL
     )
     INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, renewed_from, activation, public_jwk, thumbprint,
       activates_at, published_at, lead, max_token_ttl, verify_tail)
     SELECT $1, $2, $3, true, CASE WHEN $4::integer IS NULL THEN 'generated' ELSE 'renewed' END, $4, $5, $6, $9,
       due.at, due.published, interval '1 hour', interval '1 hour', interval '1 hour 1 minute'
     FROM due
     RETURNING *`,
    [
      version,
      `${version}-${pair.thumbprint?.slice(0, 8) ?? 'hmachmac'}`,
      pair.algorithm,
      key.renewedFrom ?? null,
      key.activation ?? 'scheduled',
      pair.publicJwk && JSON.stringify(pair.publicJwk),
      key.activatesIn ?? 30 * day,
      key.publishedIn ?? 0,
      pair.thumbprint,
    ],
  );
  await db.query(`INSERT INTO keyturn.signing_key_secrets (version, kek_id, sealed) VALUES ($1, 'test', '\\x00')`, [
    version,
  ]);
  return only(result);
}

/** The first key of a ring; it signs from now on. */
export const bootstrapKey = async (db: ClientBase, key: NewKey = {}): Promise<KeyRow> =>
  await publishKey(db, { activatesIn: 0, activation: 'bootstrap', ...key });

/** Every key, oldest first. */
export async function allKeys(db: ClientBase): Promise<KeyRow[]> {
  return (await db.query<KeyRow>('SELECT * FROM keyturn.signing_keys ORDER BY version')).rows;
}

/** The one row of a result. */
export function only<T extends object>({ rows }: QueryResult<T>): T {
  const [row] = rows;
  if (row === undefined || rows.length > 1) throw new Error(`expected one row, found ${rows.length}`);
  return row;
}
