import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { KeyRing } from '../../keys/ring/key-ring.js';
import { CannotOpen, KeyEncryptionKeys } from '../../keys/vault/key-encryption-keys.js';
import { LocalKeyVault } from '../../keys/vault/local-key-vault.js';

const NAME = 'refresh';

/** The secret under which refresh tokens derive their successors: made once, sealed, the same on every server. */
@Injectable()
export class RefreshSecret {
  private secret: Buffer | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly keks: KeyEncryptionKeys,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
  ) {}

  /** 32 bytes. @throws KeyturnError `signing_unavailable` when it cannot be opened here, `database_unavailable` */
  async get(): Promise<Buffer> {
    this.secret ??= await this.load();
    return this.secret;
  }

  private async load(): Promise<Buffer> {
    // A server with a wrong key-encryption key would seal a secret that nobody else can open.
    const signer = this.ring.signer();
    if (!signer || !this.vault.opens(signer.version)) throw unavailable();
    try {
      const { kekId, sealed } = this.keks.seal(randomBytes(32), NAME);
      // The first server to come makes it; everyone, the first included, then reads what is there.
      await this.dataSource.query(
        'INSERT INTO keyturn.service_secrets (name, kek_id, sealed) VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT pk_service_secrets DO NOTHING',
        [NAME, kekId, sealed],
      );
      const [row] = await this.dataSource.query<{ kek_id: string; sealed: Buffer }[]>(
        'SELECT kek_id, sealed FROM keyturn.service_secrets WHERE name = $1',
        [NAME],
      );
      if (!row) throw new Error('the refresh secret has gone');
      return this.keks.open({ kekId: row.kek_id, sealed: row.sealed }, NAME);
    } catch (error) {
      if (error instanceof CannotOpen) {
        throw unavailable(error);
      }
      throw asKeyturnError(error);
    }
  }
}

const unavailable = (cause?: unknown): KeyturnError =>
  new KeyturnError('signing_unavailable', 'Sessions cannot be refreshed at the moment.', { retryAfter: 5 }, { cause });
