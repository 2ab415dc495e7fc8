import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { inChange, type Actor } from '../../database/change.js';
import { Replicas } from '../replicas/replicas.js';
import { SigningKeyRow } from '../store/signing-key.entity.js';
import { CannotOpen, KeyEncryptionKeys, type Sealed } from '../vault/key-encryption-keys.js';
import { KeySealing } from '../vault/key-sealing.js';

interface SecretRow {
  readonly kek_id: string;
  readonly sealed: Buffer;
}

/** Wraps everything that is sealed under the current key-encryption key, in one transaction. */
@Injectable()
export class KeyResealing {
  constructor(
    private readonly dataSource: DataSource,
    private readonly keks: KeyEncryptionKeys,
    private readonly sealing: KeySealing,
    private readonly replicas: Replicas,
  ) {}

  /**
   * @param done is told how much of it is done, from 0 to 1
   * @returns how many private halves and shared secrets were wrapped anew; those under the current key already are left alone
   * @throws KeyturnError `key_change_refused` while a server that runs, or may, does not hold the current key-encryption key, or when something cannot be opened
   */
  async reseal(
    actor: Actor,
    done: (share: number) => void = () => undefined,
  ): Promise<{ readonly kekId: string; readonly resealed: number }> {
    const kekId = this.keks.currentId;
    const lacking = await this.replicas.lacking(kekId);
    if (lacking) {
      throw new KeyturnError(
        'key_change_refused',
        `${lacking.clause} yet. Put it first in their KEK_FILE, restart them, and try again.${lacking.hint}`,
      );
    }
    const resealed = await inChange(this.dataSource, actor, async (manager) => {
      const halves = await manager.query<(SecretRow & { version: number })[]>(
        'SELECT version, kek_id, sealed FROM keyturn.signing_key_secrets WHERE kek_id <> $1 ORDER BY version',
        [kekId],
      );
      for (const [index, { version, kek_id, sealed }] of halves.entries()) {
        const owner = await manager.findOneByOrFail(SigningKeyRow, { version });
        const wrapped = opened(owner.kid, () => this.sealing.reseal(owner, { kekId: kek_id, sealed }));
        await manager.query('UPDATE keyturn.signing_key_secrets SET kek_id = $2, sealed = $3 WHERE version = $1', [
          version,
          wrapped.kekId,
          wrapped.sealed,
        ]);
        done((index + 1) / halves.length);
      }
      const shared = await manager.query<(SecretRow & { name: string })[]>(
        'SELECT name, kek_id, sealed FROM keyturn.service_secrets WHERE kek_id <> $1',
        [kekId],
      );
      for (const { name, kek_id, sealed } of shared) {
        const wrapped = opened(`secret ${name}`, () =>
          this.keks.seal(this.keks.open({ kekId: kek_id, sealed }, name), name),
        );
        await manager.query('UPDATE keyturn.service_secrets SET kek_id = $2, sealed = $3 WHERE name = $1', [
          name,
          wrapped.kekId,
          wrapped.sealed,
        ]);
      }
      return halves.length + shared.length;
    });
    return { kekId, resealed };
  }
}

function opened(what: string, work: () => Sealed): Sealed {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CannotOpen)) throw error;
    throw new KeyturnError(
      'key_change_refused',
      `${what} cannot be opened, so nothing was changed: ${error.message}.`,
      {},
      { cause: error },
    );
  }
}
