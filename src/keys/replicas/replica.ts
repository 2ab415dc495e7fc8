import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KEYTURN_VERSION } from '../../common/version.js';
import { CONFIG, type Config } from '../../config/config.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { KeyRing } from '../ring/key-ring.js';
import { LocalKeyVault } from '../vault/local-key-vault.js';
import { HEARTBEAT_MS, mayVerifyFor, MAY_VERIFY } from './liveness.js';

/** This server's row among the servers that are up. */
@Injectable()
export class Replica implements OnApplicationShutdown {
  readonly id = randomUUID();
  private readonly logger = new Logger('Replica');
  private told = '';
  private toldAt = -Infinity;
  private reporting: Promise<void> = Promise.resolve();
  private signedOff = false;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly dataSource: DataSource,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
  ) {}

  /** Says what this server knows: when that has changed, and every few seconds. One after the other, so that the last word is the newest. */
  report(anyway = false): Promise<void> {
    this.reporting = this.reporting.catch(() => undefined).then(() => this.reportNow(anyway));
    return this.reporting;
  }

  private async reportNow(anyway: boolean): Promise<void> {
    const { generation } = this.ring;
    const opens = this.vault.openedVersions;
    const shut = this.ring.toSign().flatMap(({ version }) => (opens.includes(version) ? [] : [version]));
    const knows = JSON.stringify([generation, this.vault.kekIds, opens, shut]);
    const isTold = knows === this.told && performance.now() - this.toldAt < HEARTBEAT_MS;
    if (this.signedOff || (isTold && !anyway)) return;
    // Before it is said, not after: nothing is followed later than HEARTBEAT_MS after the `last_seen_at` that others read.
    const toldAt = performance.now();
    await this.tell([this.id, KEYTURN_VERSION, Math.max(generation, 0), this.vault.kekIds, opens, shut]);
    this.told = knows;
    this.toldAt = toldAt;
  }

  private async tell(row: readonly unknown[]): Promise<void> {
    try {
      await this.write(row);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  private async write(row: readonly unknown[]): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO keyturn.replicas AS r (id, code_version, generation, kek_ids, opens, shut, last_seen_at)
       VALUES ($1, $2, $3, $4, $5, $6, keyturn.clock())
       ON CONFLICT ON CONSTRAINT pk_replicas
       DO UPDATE SET generation = excluded.generation, kek_ids = excluded.kek_ids, opens = excluded.opens, shut = excluded.shut,
         last_seen_at = excluded.last_seen_at`,
      [...row],
    );
    await this.forgetOthers();
  }

  /** Rows of servers that have long gone are in nobody's way: that they could not be deleted keeps this one from nothing. */
  private async forgetOthers(): Promise<void> {
    await this.dataSource
      .query(
        `DELETE FROM keyturn.replicas WHERE NOT (${MAY_VERIFY}) AND last_seen_at < keyturn.clock() - interval '24 hours'`,
        [mayVerifyFor(this.config)],
      )
      .catch((error: unknown) => this.logger.debug(`old replicas stay: ${reasonOf(error)}`));
  }

  /** Whoever has signed off is named in no receipt, so nothing may write the row again. */
  async onApplicationShutdown(): Promise<void> {
    this.signedOff = true;
    await this.reporting.catch(() => undefined);
    await this.dataSource
      .query('DELETE FROM keyturn.replicas WHERE id = $1', [this.id])
      .catch((error: unknown) => this.logger.warn(`could not sign off: ${reasonOf(error)}`));
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown error');
