import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { Cron } from '@nestjs/schedule';
import { DataSource } from 'typeorm';
import { KeyturnError, type ErrorCode } from '../../common/errors.js';
import { CONFIG, type Config } from '../../config/config.js';
import { asKeyturnError } from '../../database/unavailable.js';
import type { Turn } from '../../users/password/permits.js';
import { foldedName } from './folded-name.js';
import { KeyedHash } from './keyed-hash.js';
import { KnownDevices } from './known-devices.js';
import { networkOf } from './network.js';

/** Logins that are made to wait at once. Whoever comes then is not: the bounded number of hashes slows them down. */
const MOST_SLOWED = 500;
const PRUNED_AT_ONCE = 5_000;

/** What attempts fill, and how many fit. */
interface Bucket {
  readonly hash: Buffer;
  readonly most: number;
}

/** What an attempt counts towards. All servers take them in this order, so that none waits for another. */
interface Buckets {
  /** Refuses when it is full, before the next is asked. */
  readonly wide?: Bucket;
  /** Refuses when it is full. */
  readonly own: Bucket;
  /** Only slows down when it is full. */
  readonly total?: Bucket;
}

interface Taken {
  /** Seconds until the next attempt; 0: this one is allowed. */
  readonly wait: number;
  readonly slow: boolean;
  /** Where it is counted. */
  readonly taken: readonly Buffer[];
}

/**
 * Bounds how often passwords and codes are guessed at, over all servers and restarts. An attempt is counted before anything is compared, and
 * given back unless it was a wrong guess. Every method throws KeyturnError `too_many_attempts`, `signing_unavailable`,
 * `database_unavailable`, and whatever `work` throws.
 */
@Injectable()
export class Throttle {
  private readonly logger = new Logger('Throttle');
  private slowed = 0;

  constructor(
    private readonly dataSource: DataSource,
    @Inject(CONFIG) private readonly config: Config,
    private readonly hash: KeyedHash,
    private readonly devices: KnownDevices,
  ) {}

  /**
   * A login, by name, existing or not, and network; and by network alone, so that nobody tries one password on every name. A device on which
   * that name has logged in before has attempts of its own, and counts towards no network; when it has none left, or all known devices of the
   * name together have none, it is a stranger like any other. The total by name makes strangers wait a moment and refuses nobody: so nobody
   * can lock a person out who comes from elsewhere or on a known device.
   */
  async login<T>(
    who: {
      readonly username: string;
      readonly address?: string | undefined;
      readonly knownDevice?: string | undefined;
    },
    work: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    const { attempts, attemptsByName, attemptsByAddress } = this.config.throttling;
    const name = foldedName(who.username);
    const network = networkOf(who.address);
    const device = await this.devices.find(who.username, who.knownDevice);
    if (device !== undefined) {
      // Whoever was let in once may have many tokens: together they are bounded, and share a line.
      const known = await this.take({
        wide: { hash: await this.hash.of('logins on known devices', name), most: attemptsByName },
        own: { hash: await this.hash.of('login on a known device', name, device), most: attempts },
      });
      if (known.wait === 0) {
        return this.attempt(known, 'invalid_credentials', () => work({ of: `name ${name}`, known: true }));
      }
    }
    const stranger = await this.take({
      wide: { hash: await this.hash.of('logins by network', network), most: attemptsByAddress },
      own: { hash: await this.hash.of('login', name, network), most: attempts },
      total: { hash: await this.hash.of('logins by name', name), most: attemptsByName },
    });
    return this.attempt(stranger, 'invalid_credentials', () => work({ of: `from ${network}`, known: false }));
  }

  /** The redemption of a one-time code, by network: a wrong code names nobody. */
  async redemption<T>(address: string | undefined, work: () => Promise<T>): Promise<T> {
    const own = await this.hash.of('redemption', networkOf(address));
    return this.attempt(
      await this.take({ own: { hash: own, most: this.config.throttling.attempts } }),
      'invalid_code',
      work,
    );
  }

  /** The proof of the current password, by session: only who has the session can use its attempts up. */
  async reauthentication<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const own = await this.hash.of('reauthentication', sessionId);
    return this.attempt(
      await this.take({ own: { hash: own, most: this.config.throttling.attempts } }),
      'invalid_credentials',
      work,
    );
  }

  /** Removes buckets that are empty. Whatever goes wrong is logged: nobody waits for this. */
  @Cron('*/10 * * * *', { name: 'attempt-buckets', waitForCompletion: true })
  async prune(): Promise<void> {
    try {
      let pruned: number;
      do {
        [, pruned] = await this.dataSource.query<[unknown, number]>(
          `DELETE FROM keyturn.attempt_buckets WHERE bucket_hash IN (
             SELECT bucket_hash FROM keyturn.attempt_buckets WHERE empty_at <= keyturn.clock() LIMIT $1 FOR UPDATE SKIP LOCKED)`,
          [PRUNED_AT_ONCE],
        );
      } while (pruned === PRUNED_AT_ONCE);
    } catch (error) {
      this.complain('empty buckets of attempts could not be removed', error);
    }
  }

  /** Does what was counted, or refuses it. */
  private async attempt<T>({ wait, slow, taken }: Taken, wrongGuess: ErrorCode, work: () => Promise<T>): Promise<T> {
    if (wait > 0) {
      throw new KeyturnError('too_many_attempts', 'Too many attempts. Wait a moment, then try again.', {
        retryAfter: wait,
      });
    }
    if (slow) await this.slowDown();
    try {
      const result = await work();
      await this.giveBack(taken);
      return result;
    } catch (error) {
      if (!(error instanceof KeyturnError && error.code === wrongGuess)) await this.giveBack(taken);
      throw error;
    }
  }

  /** Counts an attempt everywhere, or, when it is refused, nowhere. */
  private async take({ wide, own, total }: Buckets): Promise<Taken> {
    const row = await this.ask(wide, own, total);
    if (wide && row.wide === 0 && row.own > 0) await this.giveBack([wide.hash]);
    const wait = Math.max(row.wide, row.own);
    // A total that was full took nothing.
    const taken = [wide, own, row.total > 0 ? undefined : total].flatMap((bucket) => bucket?.hash ?? []);
    return { wait, slow: row.total > 0, taken: wait > 0 ? [] : taken };
  }

  /** Seconds to wait for each; 0 also for one that is not there or was not asked. */
  private async ask(
    wide: Bucket | undefined,
    own: Bucket,
    total: Bucket | undefined,
  ): Promise<{ wide: number; own: number; total: number }> {
    try {
      const [row] = await this.dataSource.query<{ wide: number; own: number; total: number }[]>(
        `SELECT wide, own,
           CASE WHEN wide = 0 AND own = 0 AND $5::bytea IS NOT NULL THEN keyturn.take_attempt($5, $6, make_interval(secs => $7)) ELSE 0 END AS total
         FROM (
           SELECT wide, CASE WHEN wide = 0 THEN keyturn.take_attempt($3, $4, make_interval(secs => $7)) ELSE 0 END AS own
           FROM (
             SELECT CASE WHEN $1::bytea IS NOT NULL THEN keyturn.take_attempt($1, $2, make_interval(secs => $7)) ELSE 0 END AS wide
           ) asked_first
         ) asked_second`,
        [
          wide?.hash ?? null,
          wide?.most ?? null,
          own.hash,
          own.most,
          total?.hash ?? null,
          total?.most ?? null,
          this.config.throttling.interval / 1_000,
        ],
      );
      if (!row) throw new Error('take_attempt returned no row');
      return row;
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** The attempt itself has ended as it has; at worst one too many is counted. Rows are held in the order of {@link Buckets}. */
  private async giveBack(buckets: readonly Buffer[]): Promise<void> {
    try {
      await this.dataSource.query(
        `WITH held AS (
           SELECT b.bucket_hash FROM unnest($1::bytea[]) WITH ORDINALITY taken (bucket_hash, place)
             JOIN keyturn.attempt_buckets b USING (bucket_hash) ORDER BY taken.place FOR UPDATE OF b
         )
         UPDATE keyturn.attempt_buckets b SET empty_at = empty_at - make_interval(secs => $2)
         FROM held WHERE b.bucket_hash = held.bucket_hash`,
        [buckets, this.config.throttling.interval / 1_000],
      );
    } catch (error) {
      this.complain('an attempt could not be given back', error);
    }
  }

  private async slowDown(): Promise<void> {
    if (this.slowed >= MOST_SLOWED) return;
    this.slowed++;
    this.logger.debug('a login waits: there were many of its name');
    await pause(this.config.throttling.slowdown).finally(() => this.slowed--);
  }

  private complain(what: string, error: unknown): void {
    this.logger.error(`${what}: ${error instanceof Error ? error.message : 'unknown error'}`);
  }
}
