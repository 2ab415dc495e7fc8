import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { iso } from '../common/iso.js';
import { KEYTURN_VERSION } from '../common/version.js';
import { CONFIG, type Config } from '../config/config.js';
import { asKeyturnError } from '../database/unavailable.js';
import { KeyRing } from './ring/key-ring.js';
import { LocalKeyVault } from './vault/local-key-vault.js';

const HEARTBEAT_MS = 5_000;
/** A replica silent for longer is not counted on. What it remembers it may verify with all the same, until KEY_OFFLINE_LIMIT. */
const LIVE = `last_seen_at > keyturn.clock() - interval '15 seconds'`;
/** `$1`: how long before now a replica that may still verify was seen at the earliest, in milliseconds. */
const MAY_VERIFY = `last_seen_at > keyturn.clock() - $1 * interval '1 millisecond'`;

/** This server's row among the servers that are up. */
@Injectable()
export class Replica implements OnApplicationShutdown {
  readonly id = randomUUID();
  private readonly logger = new Logger('Replica');
  private told = '';
  private toldAt = -Infinity;
  private reporting: Promise<void> | undefined;
  private signedOff = false;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly dataSource: DataSource,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
  ) {}

  /** Says what this server knows: when that has changed, and every few seconds. */
  async report(): Promise<void> {
    const { generation } = this.ring;
    const knows = JSON.stringify([generation, this.vault.kekIds, this.vault.openedVersions]);
    if (this.signedOff || (knows === this.told && performance.now() - this.toldAt < HEARTBEAT_MS)) return;
    // Before it is said, not after: nothing is followed later than HEARTBEAT_MS after the `last_seen_at` that others read.
    const toldAt = performance.now();
    this.reporting = this.tell(Math.max(generation, 0));
    await this.reporting;
    this.told = knows;
    this.toldAt = toldAt;
  }

  private async tell(generation: number): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO keyturn.replicas AS r (id, code_version, generation, kek_ids, opens, last_seen_at)
       VALUES ($1, $2, $3, $4, $5, keyturn.clock())
       ON CONFLICT ON CONSTRAINT pk_replicas
       DO UPDATE SET generation = excluded.generation, kek_ids = excluded.kek_ids, opens = excluded.opens, last_seen_at = excluded.last_seen_at`,
      [this.id, KEYTURN_VERSION, generation, this.vault.kekIds, this.vault.openedVersions],
    );
    await this.dataSource.query(
      `DELETE FROM keyturn.replicas WHERE NOT (${MAY_VERIFY}) AND last_seen_at < keyturn.clock() - interval '24 hours'`,
      [mayVerifyFor(this.config)],
    );
  }

  /** Whoever has signed off is named in no receipt, so nothing may write the row again. */
  async onApplicationShutdown(): Promise<void> {
    this.signedOff = true;
    await this.reporting?.catch(() => undefined);
    await this.dataSource
      .query('DELETE FROM keyturn.replicas WHERE id = $1', [this.id])
      .catch((error: unknown) =>
        this.logger.warn(`could not sign off: ${error instanceof Error ? error.message : 'unknown error'}`),
      );
  }
}

/** How long after it was last seen a replica may verify, in milliseconds. */
const mayVerifyFor = ({ keys }: Config): number => keys.offlineLimit + HEARTBEAT_MS;

/** A server that was not seen to follow: cut off, slow, or killed. */
export interface SilentReplica {
  readonly id: string;
  /** When it stops verifying at the latest, if it runs: milliseconds since 1970. */
  readonly verifiesUntil: number;
}

/** How far the servers that verify have followed a change. */
export interface Reach {
  /** Servers that verify, or may: seen within KEY_OFFLINE_LIMIT and a heartbeat, and not signed off. */
  readonly live: number;
  readonly following: number;
  readonly silent: readonly SilentReplica[];
  /** Milliseconds from the change until this was known. */
  readonly after: number;
}

/** What is known of all servers, by whoever asks: also by a command line that is none itself. */
@Injectable()
export class Replicas {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly dataSource: DataSource,
  ) {}

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
   * Waits until every live replica knows of the key event `generation`, at most `patience` milliseconds. One that was silent before is
   * not waited for, but named.
   * @param since when the change happened, by the database's clock
   * @throws KeyturnError `database_unavailable`
   */
  async follow(generation: number, since: number, patience: number): Promise<Reach> {
    const until = performance.now() + patience;
    for (;;) {
      const patient = performance.now() < until;
      try {
        const { expected, ...reach } = await this.reach(generation, since);
        if (!expected || !patient) return reach;
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

  /**
   * Who of all that verify, or may, does not hold a key-encryption key.
   * @returns undefined: all hold it. Otherwise a clause for a person, and until when those count that were not heard of lately.
   * @throws KeyturnError `database_unavailable`
   */
  async lacking(kekId: string): Promise<{ readonly clause: string; readonly hint: string } | undefined> {
    try {
      const [row] = await this.dataSource.query<{ all: number; lacking: number; last_silent: Date | null }[]>(
        `SELECT count(*)::integer AS all, count(*) FILTER (WHERE NOT $2 = ANY (kek_ids))::integer AS lacking,
                max(last_seen_at) FILTER (WHERE NOT $2 = ANY (kek_ids) AND NOT ${LIVE}) AS last_silent
         FROM keyturn.replicas WHERE ${MAY_VERIFY}`,
        [mayVerifyFor(this.config), kekId],
      );
      if (!row || row.lacking === 0) return undefined;
      const until = row.last_silent && iso(row.last_silent.getTime() + mayVerifyFor(this.config));
      return {
        clause: `${row.lacking} of ${row.all} running servers do not hold the key-encryption key ${kekId}`,
        hint: until ? ` One that was cut off or killed counts until ${until}.` : '',
      };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** `expected`: a live replica that does not follow yet, so that it is worth waiting. */
  private async reach(generation: number, since: number): Promise<Reach & { readonly expected: boolean }> {
    const rows = await this.dataSource.query<{ id: string; follows: boolean; live: boolean; seen: Date; now: Date }[]>(
      `SELECT id, generation >= $2 AS follows, ${LIVE} AS live, last_seen_at AS seen, keyturn.clock() AS now
       FROM keyturn.replicas WHERE ${MAY_VERIFY} ORDER BY started_at`,
      [mayVerifyFor(this.config), generation],
    );
    const silent = rows.filter(({ follows }) => !follows);
    return {
      live: rows.length,
      following: rows.length - silent.length,
      // Whatever it last heard of the database, it was before we looked, and before the heartbeat that is missing.
      silent: silent.map(({ id, seen, now }) => ({
        id,
        verifiesUntil: Math.min(seen.getTime() + HEARTBEAT_MS, now.getTime()) + this.config.keys.offlineLimit,
      })),
      after: Math.max(0, (rows[0]?.now.getTime() ?? since) - since),
      expected: silent.some(({ live }) => live),
    };
  }
}
