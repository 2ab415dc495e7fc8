import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { iso } from '../../common/iso.js';
import { CONFIG, type Config } from '../../config/config.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { HEARTBEAT_MS, LIVE, mayVerifyFor, MAY_VERIFY } from './liveness.js';

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

  /** Can live replicas not open the private half of the version, and none of them can? What the database asks before a standby takes over. */
  async shut(version: number): Promise<boolean> {
    try {
      const [row] = await this.dataSource.query<{ shut: boolean }[]>('SELECT keyturn.is_shut($1) AS shut', [version]);
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
