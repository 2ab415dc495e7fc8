import { randomBytes } from 'node:crypto';
import type { JWK } from 'jose';
import type { EntityManager } from 'typeorm';
import type { KeyMaterial } from '../key-material.js';
import type { Mint, Takeover } from '../planning/plan-keys.js';
import type { Algorithm, Instant, SigningKey } from '../signing-key.js';
import type { Sealed } from '../vault/key-encryption-keys.js';

/** A key that enters the ring as the next signer. */
export interface Publication {
  readonly mint: Mint;
  readonly material: KeyMaterial;
  /** Absent: generated here. */
  readonly origin?:
    { readonly is: 'imported'; readonly kid?: string | undefined } | { readonly is: 'renewed'; readonly from: number };
  /** The standby whose place it takes; superseded in the same statement. */
  readonly displaces?: number | undefined;
}

/** A public key from outside that verifies and never signs. Times are milliseconds since 1970. */
export interface VerifyOnlyKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly publicJwk: JWK;
  readonly thumbprint: string;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly maxTokenTtl: number;
}

/** What is written in one change, in this order. */
export interface KeyChanges {
  readonly takeover?: Takeover | undefined;
  readonly publish?: readonly Publication[];
  /** Public keys from outside, to verify with until they expire. */
  readonly admit?: readonly VerifyOnlyKey[];
  readonly destroy?: readonly number[];
}

/** Seals a private half for the row it will lie beside. */
export type Seal = (material: KeyMaterial, owner: Pick<SigningKey, 'kid' | 'version' | 'algorithm'>) => Sealed;

/** Writes what was decided, within a change that the caller has begun. @returns the kids of the keys published */
export async function writeKeyChanges(
  manager: EntityManager,
  changes: KeyChanges,
  now: Instant,
  seal: Seal | undefined,
): Promise<readonly string[]> {
  const published: string[] = [];
  if (changes.takeover) await moveTakeover(manager, changes.takeover);
  for (const publication of changes.publish ?? []) published.push(await publish(manager, publication, now, seal));
  for (const key of changes.admit ?? []) await admit(manager, key, now);
  if (changes.destroy?.length) await destroyPrivateHalves(manager, changes.destroy, now);
  return published;
}

/** One statement, so that no window overlaps and none is left open between two. */
const moveTakeover = (manager: EntityManager, { version, activation, at }: Takeover): Promise<unknown> =>
  manager.query(
    `UPDATE keyturn.signing_keys k SET
       activation = CASE WHEN k.version = $1 THEN $2 ELSE k.activation END,
       activates_at = CASE WHEN k.version = $1 THEN $3::timestamptz ELSE k.activates_at END,
       retires_at = CASE WHEN k.version = $1 THEN k.retires_at ELSE $3::timestamptz END,
       expires_at = CASE WHEN k.version = $1 THEN k.expires_at ELSE $3::timestamptz + k.verify_tail END
     FROM keyturn.signing_keys standby
     WHERE standby.version = $1
       AND (k.version = $1 OR (k.signs AND k.revoked_at IS NULL AND k.retires_at = standby.activates_at))`,
    [version, activation, new Date(at)],
  );

async function nextVersion(manager: EntityManager): Promise<number> {
  const [row] = await manager.query<{ next: number }[]>(
    'SELECT coalesce(max(version), 0) + 1 AS next FROM keyturn.signing_keys',
  );
  return row?.next ?? 1;
}

const seconds = (milliseconds: number): number => milliseconds / 1_000;

/** One statement: the window before it is closed, and the standby it displaces superseded, so that windows meet at every instant. */
async function publish(
  manager: EntityManager,
  { mint, material, origin, displaces }: Publication,
  now: Instant,
  seal: Seal | undefined,
): Promise<string> {
  if (!seal) throw new Error('publishing a key needs a way to seal its private half');
  const version = await nextVersion(manager);
  const { algorithm, publicJwk, thumbprint } = material;
  const derived = `${version}-${thumbprint?.slice(0, 8) ?? randomBytes(6).toString('base64url')}`;
  const kid = origin?.is === 'imported' ? (origin.kid ?? derived) : derived;
  await manager.query(
    `WITH displaced AS (
       UPDATE keyturn.signing_keys SET revoked_at = $8, revocation_reason = 'superseded' WHERE version = $14
     ), predecessor AS (
       UPDATE keyturn.signing_keys k SET retires_at = $7::timestamptz, expires_at = $7::timestamptz + k.verify_tail
       WHERE k.signs AND k.revoked_at IS NULL AND k.version IS DISTINCT FROM $14
         AND (k.retires_at IS NULL OR k.retires_at = (SELECT activates_at FROM keyturn.signing_keys WHERE version = $14))
     )
     INSERT INTO keyturn.signing_keys
       (version, kid, algorithm, signs, origin, renewed_from, activation, public_jwk, thumbprint, activates_at, published_at, lead, max_token_ttl, verify_tail)
     VALUES ($1, $2, $3, true, $12, $13, $4, $5, $6, $7, $8, make_interval(secs => $9), make_interval(secs => $10), make_interval(secs => $11))`,
    [
      version,
      kid,
      algorithm,
      mint.activation,
      publicJwk && JSON.stringify(publicJwk),
      thumbprint,
      new Date(mint.activatesAt),
      new Date(now),
      seconds(mint.lead),
      seconds(mint.maxTokenTtl),
      seconds(mint.verifyTail),
      origin?.is ?? 'generated',
      origin?.is === 'renewed' ? origin.from : null,
      displaces ?? null,
    ],
  );
  const { kekId, sealed } = seal(material, { kid, version, algorithm });
  await manager.query('INSERT INTO keyturn.signing_key_secrets (version, kek_id, sealed) VALUES ($1, $2, $3)', [
    version,
    kekId,
    sealed,
  ]);
  return kid;
}

/** An empty signing window: it verifies from `createdAt` to `expiresAt` and signs never. */
async function admit(manager: EntityManager, key: VerifyOnlyKey, now: Instant): Promise<void> {
  await manager.query(
    `INSERT INTO keyturn.signing_keys
       (version, kid, algorithm, signs, origin, public_jwk, thumbprint, published_at, activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail)
     VALUES ($1, $2, $3, false, 'imported', $4, $5, $6, $7, $7, $8, make_interval(secs => 0), make_interval(secs => $9), make_interval(secs => $9))`,
    [
      await nextVersion(manager),
      key.kid,
      key.algorithm,
      JSON.stringify(key.publicJwk),
      key.thumbprint,
      new Date(now),
      new Date(key.createdAt),
      new Date(key.expiresAt),
      seconds(key.maxTokenTtl),
    ],
  );
}

const destroyPrivateHalves = (manager: EntityManager, versions: readonly number[], now: Instant): Promise<unknown> =>
  manager.query('UPDATE keyturn.signing_keys SET private_key_destroyed_at = $2 WHERE version = ANY ($1)', [
    versions,
    new Date(now),
  ]);
