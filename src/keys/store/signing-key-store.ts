import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { inChange, type Actor } from '../../database/change.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { SigningKeyRow } from './signing-key.entity.js';
import type { Instant, SigningKey } from '../signing-key.js';
import { writeKeyChanges, type KeyChanges, type Seal } from './signing-key-writes.js';
import type { Sealed } from '../vault/key-encryption-keys.js';

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

/**
 * Keys that have not expired, revoked ones included (their tokens still come, and must be refused at once), those whose private half is
 * still there, and the newest of either kind. History is not read: its length changes nothing here.
 */
const LIVE = `k.expiresAt IS NULL OR k.expiresAt > (SELECT keyturn.clock())
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
   * @returns what `decide` made of it, and the kids of the keys published
   */
  async change<T extends object>(
    actor: Actor,
    decide: (keys: readonly SigningKey[], now: Instant) => { changes: KeyChanges; result: T },
    seal?: Seal,
  ): Promise<T & { readonly published: readonly string[] }> {
    try {
      return await inChange(this.dataSource, actor, async (manager, now) => {
        const { changes, result } = decide(await liveKeys(manager), now);
        return { ...result, published: await writeKeyChanges(manager, changes, now, seal) };
      });
    } catch (error) {
      throw asRefusal(error);
    }
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

/** What the database's own rules refuse is an answer, not a defect: a pair that was revoked, a kid that is taken, a lost race. */
function asRefusal(error: unknown): unknown {
  if (
    !(error instanceof QueryFailedError) ||
    !('code' in error) ||
    !['23514', '23505', '23P01'].includes(String(error.code))
  )
    return error;
  return new KeyturnError(
    'key_change_refused',
    `The database refuses this change: ${error.message}.`,
    {},
    { cause: error },
  );
}
