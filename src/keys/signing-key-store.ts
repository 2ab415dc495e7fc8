import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { inChange, type Actor } from '../database/change.js';
import { asKeyturnError } from '../database/unavailable.js';
import { privateBytes, type KeyMaterial } from './key-material.js';
import type { Mint, Takeover } from './plan-keys.js';
import { SigningKeyRow } from './signing-key.entity.js';
import type { Instant, SigningKey } from './signing-key.js';
import type { Sealed } from './vault/key-encryption-keys.js';

/** A key that may still matter, with its sealed private half where there is one. */
export interface StoredKey {
  readonly key: SigningKey;
  readonly sealed: Sealed | undefined;
}

/** The key set as it was at one moment. */
export interface KeySet {
  /** seq of the newest key event: whoever has loaded less must load again. */
  readonly generation: number;
  readonly keys: readonly StoredKey[];
}

/** What is written in one change, in this order. */
export interface KeyChanges {
  readonly takeover?: Takeover | undefined;
  readonly publish?: readonly { readonly mint: Mint; readonly material: KeyMaterial }[];
  readonly destroy?: readonly number[];
}

/** Seals a private half for the row it will lie beside. */
export type Seal = (privateBytes: Buffer, key: Pick<SigningKey, 'kid' | 'version' | 'algorithm'>) => Sealed;

/**
 * Keys that can still sign or verify, those whose private half is still there, and the newest of either kind. History is not read:
 * its length changes nothing here.
 */
const LIVE = `(k.revokedAt IS NULL AND (k.expiresAt IS NULL OR k.expiresAt > (SELECT keyturn.clock())))
  OR (k.signs AND k.privateKeyDestroyedAt IS NULL)
  OR k.version IN (SELECT max(version) FROM keyturn.signing_keys GROUP BY signs)`;

/** `keyturn.signing_keys` and the sealed halves beside it. Owns the transaction of every change. */
@Injectable()
export class SigningKeyStore {
  constructor(private readonly dataSource: DataSource) {}

  /** Live keys and their sealed halves, and the generation they belong to. @throws KeyturnError `database_unavailable` */
  async load(): Promise<KeySet> {
    try {
      // One snapshot: a generation read apart from its keys could belong to others.
      return await this.dataSource.transaction('REPEATABLE READ', async (manager) => {
        const [row] = await manager.query<{ generation: string }[]>('SELECT keyturn.key_generation() AS generation');
        const keys = await liveKeys(manager);
        const secrets = await manager.query<{ version: number; kek_id: string; sealed: Buffer }[]>(
          'SELECT version, kek_id, sealed FROM keyturn.signing_key_secrets WHERE version = ANY ($1)',
          [keys.map((key) => key.version)],
        );
        const sealed = new Map(
          secrets.map((secret) => [secret.version, { kekId: secret.kek_id, sealed: secret.sealed }]),
        );
        return {
          generation: Number(row?.generation ?? 0),
          keys: keys.map((key) => ({ key, sealed: sealed.get(key.version) })),
        };
      });
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** Live keys and the database's time, without taking any lock: to see whether there is something to do. */
  async look(): Promise<{ readonly keys: readonly SigningKey[]; readonly now: Instant }> {
    try {
      const [row] = await this.dataSource.query<{ now: Date }[]>('SELECT keyturn.clock() AS now');
      return { keys: await liveKeys(this.dataSource.manager), now: row?.now.getTime() ?? 0 };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** Every key there ever was, oldest first. @throws KeyturnError `database_unavailable` */
  async all(): Promise<{ readonly keys: readonly SigningKey[]; readonly now: Instant }> {
    try {
      const [row] = await this.dataSource.query<{ now: Date }[]>('SELECT keyturn.clock() AS now');
      const keys = await this.dataSource.getRepository(SigningKeyRow).find({ order: { version: 'ASC' } });
      return { keys, now: row?.now.getTime() ?? 0 };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /**
   * Reads, lets `decide` plan, and writes, all under the lock of every change. What `decide` throws undoes everything.
   * @returns what `decide` made of it, and the instant at which it happened
   */
  change<T>(
    actor: Actor,
    decide: (keys: readonly SigningKey[], now: Instant) => { changes: KeyChanges; result: T },
    seal?: Seal,
  ): Promise<T> {
    return inChange(this.dataSource, actor, async (manager, now) => {
      const { changes, result } = decide(await liveKeys(manager), now);
      if (changes.takeover) await moveTakeover(manager, changes.takeover);
      for (const { mint, material } of changes.publish ?? []) await publish(manager, mint, material, now, seal);
      if (changes.destroy?.length) await destroyPrivateHalves(manager, changes.destroy, now);
      return result;
    });
  }

  /**
   * Declares one key dead. The database stamps the instant, closes its window, follows the pair through every row and lets the
   * standby take over.
   * @throws KeyturnError `not_found`, `key_change_refused`, `database_unavailable`
   */
  revoke(actor: Actor, kid: string, reason: string): Promise<{ readonly at: Instant; readonly generation: number }> {
    return inChange(this.dataSource, { ...actor, reason }, async (manager, now) => {
      const key = await manager.findOneBy(SigningKeyRow, { kid });
      if (!key) throw new KeyturnError('not_found', `There is no key ${kid}.`);
      if (key.revokedAt !== null) {
        throw new KeyturnError(
          'key_change_refused',
          `Key ${kid} was revoked already, because: ${key.revocationReason ?? ''}`,
        );
      }
      await manager.query(
        'UPDATE keyturn.signing_keys SET revoked_at = $2, revocation_reason = $3 WHERE version = $1',
        [key.version, new Date(now), reason],
      );
      const [row] = await manager.query<{ generation: string }[]>('SELECT keyturn.key_generation() AS generation');
      return { at: now, generation: Number(row?.generation ?? 0) };
    });
  }
}

const liveKeys = (manager: EntityManager): Promise<SigningKeyRow[]> =>
  manager.createQueryBuilder(SigningKeyRow, 'k').where(LIVE).orderBy('k.version').getMany();

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

/** The open window before it is closed in the same statement: windows meet end to start. */
async function publish(
  manager: EntityManager,
  mint: Mint,
  material: KeyMaterial,
  now: Instant,
  seal: Seal | undefined,
): Promise<void> {
  if (!seal) throw new Error('publishing a key needs a way to seal its private half');
  const [row] = await manager.query<{ next: number }[]>(
    'SELECT coalesce(max(version), 0) + 1 AS next FROM keyturn.signing_keys',
  );
  const version = row?.next ?? 1;
  const { algorithm, publicJwk, thumbprint } = material;
  const kid = `${version}-${thumbprint?.slice(0, 8) ?? randomBytes(6).toString('base64url')}`;
  await manager.query(
    `WITH predecessor AS (
       UPDATE keyturn.signing_keys SET retires_at = $7::timestamptz, expires_at = $7::timestamptz + verify_tail
       WHERE signs AND revoked_at IS NULL AND retires_at IS NULL
     )
     INSERT INTO keyturn.signing_keys
       (version, kid, algorithm, signs, origin, activation, public_jwk, thumbprint, activates_at, published_at, lead, max_token_ttl, verify_tail)
     VALUES ($1, $2, $3, true, 'generated', $4, $5, $6, $7, $8, make_interval(secs => $9), make_interval(secs => $10), make_interval(secs => $11))`,
    [
      version,
      kid,
      algorithm,
      mint.activation,
      publicJwk && JSON.stringify(publicJwk),
      thumbprint,
      new Date(mint.activatesAt),
      new Date(now),
      mint.lead / 1_000,
      mint.maxTokenTtl / 1_000,
      mint.verifyTail / 1_000,
    ],
  );
  const { kekId, sealed } = seal(privateBytes(material), { kid, version, algorithm });
  await manager.query('INSERT INTO keyturn.signing_key_secrets (version, kek_id, sealed) VALUES ($1, $2, $3)', [
    version,
    kekId,
    sealed,
  ]);
}

const destroyPrivateHalves = (manager: EntityManager, versions: readonly number[], now: Instant): Promise<unknown> =>
  manager.query('UPDATE keyturn.signing_keys SET private_key_destroyed_at = $2 WHERE version = ANY ($1)', [
    versions,
    new Date(now),
  ]);
