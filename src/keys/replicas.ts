import { randomUUID } from 'node:crypto';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KEYTURN_VERSION } from '../common/version.js';
import { asKeyturnError } from '../database/unavailable.js';
import { KeyRing } from './ring/key-ring.js';
import { LocalKeyVault } from './vault/local-key-vault.js';

const HEARTBEAT_MS = 5_000;
/** A replica silent for longer is not counted on. */
const LIVE = `last_seen_at > keyturn.clock() - interval '15 seconds'`;

/** This server's row among the servers that are up. */
@Injectable()
export class Replica implements OnApplicationShutdown {
  readonly id = randomUUID();
  private readonly logger = new Logger('Replica');
  private told = '';
  private toldAt = -Infinity;

  constructor(
    private readonly dataSource: DataSource,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
  ) {}

  /** Says what this server knows: when that has changed, and every few seconds. */
  async report(): Promise<void> {
    const { generation } = this.ring;
    const knows = JSON.stringify([generation, this.vault.kekIds, this.vault.openedVersions]);
    if (knows === this.told && performance.now() - this.toldAt < HEARTBEAT_MS) return;
    await this.dataSource.query(
      `INSERT INTO keyturn.replicas AS r (id, code_version, generation, kek_ids, opens, last_seen_at)
       VALUES ($1, $2, $3, $4, $5, keyturn.clock())
       ON CONFLICT ON CONSTRAINT pk_replicas
       DO UPDATE SET generation = excluded.generation, kek_ids = excluded.kek_ids, opens = excluded.opens, last_seen_at = excluded.last_seen_at`,
      [this.id, KEYTURN_VERSION, Math.max(generation, 0), this.vault.kekIds, this.vault.openedVersions],
    );
    await this.dataSource.query(
      `DELETE FROM keyturn.replicas WHERE last_seen_at < keyturn.clock() - interval '24 hours'`,
    );
    this.told = knows;
    this.toldAt = performance.now();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.dataSource
      .query('DELETE FROM keyturn.replicas WHERE id = $1', [this.id])
      .catch((error: unknown) =>
        this.logger.warn(`could not sign off: ${error instanceof Error ? error.message : 'unknown error'}`),
      );
  }
}

/** How far the servers that are up have followed a change. */
export interface Reach {
  readonly live: number;
  readonly following: number;
  /** Ids of those that have not: cut off, or slow. */
  readonly silent: readonly string[];
  /** Milliseconds from the change until this was known. */
  readonly after: number;
}

/** What is known of all servers, by whoever asks: also by a command line that is none itself. */
@Injectable()
export class Replicas {
  constructor(private readonly dataSource: DataSource) {}

  /** Versions whose private halves some live replica has opened. */
  async openedAnywhere(): Promise<ReadonlySet<number>> {
    try {
      const rows = await this.dataSource.query<{ version: number }[]>(
        `SELECT DISTINCT unnest(opens) AS version FROM keyturn.replicas WHERE ${LIVE}`,
      );
      return new Set(rows.map((row) => row.version));
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /**
   * Waits until every live replica knows of the key event `generation`, at most `patience` milliseconds.
   * @param since when the change happened, by the database's clock
   * @throws KeyturnError `database_unavailable`
   */
  async follow(generation: number, since: number, patience: number): Promise<Reach> {
    const until = performance.now() + patience;
    for (;;) {
      const patient = performance.now() < until;
      try {
        const reach = await this.reach(generation, since);
        if (reach.silent.length === 0 || !patient) return reach;
      } catch (error) {
        // What has happened has happened: a connection lost while waiting for the others' word is no reason to call it failed.
        if (!patient) throw asKeyturnError(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Do live replicas know of the version, and can none of them open its private half? Those that have not caught up say nothing. */
  async shut(version: number): Promise<boolean> {
    try {
      const [row] = await this.dataSource.query<{ shut: boolean }[]>(
        `SELECT count(*) > 0 AND count(*) FILTER (WHERE $1 = ANY (opens)) = 0 AS shut
         FROM keyturn.replicas WHERE ${LIVE} AND generation >= keyturn.key_generation()`,
        [version],
      );
      return row?.shut ?? false;
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** How many live replicas there are, and how many of them hold a key-encryption key. @throws KeyturnError `database_unavailable` */
  async holding(kekId: string): Promise<{ readonly live: number; readonly holding: number }> {
    try {
      const [row] = await this.dataSource.query<{ live: number; holding: number }[]>(
        `SELECT count(*)::integer AS live, count(*) FILTER (WHERE $1 = ANY (kek_ids))::integer AS holding FROM keyturn.replicas WHERE ${LIVE}`,
        [kekId],
      );
      return row ?? { live: 0, holding: 0 };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  private async reach(generation: number, since: number): Promise<Reach> {
    const rows = await this.dataSource.query<{ id: string; follows: boolean; now: Date }[]>(
      `SELECT id, generation >= $1 AS follows, keyturn.clock() AS now FROM keyturn.replicas WHERE ${LIVE} ORDER BY started_at`,
      [generation],
    );
    const silent = rows.filter((row) => !row.follows).map(({ id }) => id);
    const after = Math.max(0, (rows[0]?.now.getTime() ?? since) - since);
    return { live: rows.length, following: rows.length - silent.length, silent, after };
  }
}
