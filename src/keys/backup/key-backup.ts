import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { migrationDataSourceOptions } from '../../database/data-source.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { KeyEncryptionKeys } from '../vault/key-encryption-keys.js';
import { KeySealing } from '../vault/key-sealing.js';
import { bundleSchema, readBackup, writeBackup } from './backup-file.js';

/** What a backup holds. */
export interface BackupContents {
  readonly takenAt: string;
  readonly keys: number;
  readonly privateHalves: number;
  readonly events: number;
}

/** Takes keys, sealed halves and history out as one encrypted file, and back in. */
@Injectable()
export class KeyBackup {
  constructor(
    private readonly dataSource: DataSource,
    private readonly keks: KeyEncryptionKeys,
    private readonly sealing: KeySealing,
  ) {}

  /** One snapshot, sealed under the current key-encryption key. @throws KeyturnError `database_unavailable` */
  async take(): Promise<{ readonly file: Buffer; readonly contents: BackupContents }> {
    try {
      const bundle = await this.dataSource.transaction('REPEATABLE READ', async (manager) => {
        await manager.query(`SET LOCAL timezone = 'UTC'`);
        const [row] = await manager.query<unknown[]>(`
          SELECT to_char(keyturn.clock(), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS taken_at,
            (SELECT coalesce(jsonb_agg(to_jsonb(k) ORDER BY version), '[]') FROM keyturn.signing_keys k) AS keys,
            (SELECT coalesce(jsonb_agg(jsonb_build_object('version', version, 'kek_id', kek_id,
               'sealed', translate(encode(sealed, 'base64'), E'\\n', '')) ORDER BY version), '[]') FROM keyturn.signing_key_secrets) AS secrets,
            (SELECT coalesce(jsonb_agg(jsonb_build_object('seq', seq, 'prev_hash', prev_hash, 'entry', entry, 'hash', hash) ORDER BY seq), '[]')
               FROM keyturn.audit_log) AS history`);
        return bundleSchema.parse(row);
      });
      return { file: writeBackup(bundle, this.keks), contents: contentsOf(bundle) };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /**
   * Writes a backup into a database that has no keys, users or history yet. Only what verifies whole is kept.
   * @param migrationUrl connection string of a role that may become keyturn_owner
   * @param keepKeys the caller knows that nothing was revoked since: otherwise every restored key is revoked
   * @throws KeyturnError `key_change_refused`, `database_unavailable`
   */
  async restore(file: Buffer, migrationUrl: string, keepKeys: boolean): Promise<BackupContents> {
    const bundle = readBackup(file, this.keks);
    this.proveThatHalvesOpen(bundle.keys, bundle.secrets);
    const owner = await new DataSource(migrationDataSourceOptions(migrationUrl, [])).initialize();
    try {
      await owner.transaction((manager) =>
        manager.query('SELECT keyturn.restore_backup($1, $2)', [JSON.stringify(bundle), keepKeys]),
      );
      return contentsOf(bundle);
    } catch (error) {
      if (error instanceof QueryFailedError)
        throw new KeyturnError('key_change_refused', `Nothing was restored: ${error.message}.`, {}, { cause: error });
      throw asKeyturnError(error);
    } finally {
      await owner.destroy();
    }
  }

  private proveThatHalvesOpen(
    keys: readonly Readonly<Record<string, unknown>>[],
    secrets: readonly { version: number; kek_id: string; sealed: string }[],
  ): void {
    for (const { version, kek_id, sealed } of secrets) {
      const owner = keys.find((key) => key['version'] === version);
      try {
        this.sealing.prove(
          { version, kid: String(owner?.['kid']), algorithm: String(owner?.['algorithm']) },
          { kekId: kek_id, sealed: Buffer.from(sealed, 'base64') },
        );
      } catch (error) {
        const why = error instanceof Error ? error.message : 'unknown error';
        throw new KeyturnError(
          'key_change_refused',
          `Nothing was restored: the private half of version ${version} does not open: ${why}.`,
          {},
          { cause: error },
        );
      }
    }
  }
}

const contentsOf = (bundle: {
  taken_at: string;
  keys: readonly unknown[];
  secrets: readonly unknown[];
  history: readonly unknown[];
}): BackupContents => ({
  takenAt: bundle.taken_at,
  keys: bundle.keys.length,
  privateHalves: bundle.secrets.length,
  events: bundle.history.length,
});
