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

/** What an attempt counts towards. */
interface Buckets {
  /** Refuses when it is full. */
  readonly own: Buffer;
  /** Only slows down when it is full. */
  readonly total?: Buffer;
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
   * A login, by name, existing or not, and network. A device on which that name has logged in before has attempts of its own. The total by
   * name makes strangers wait a moment and refuses nobody: so nobody can lock a person out who comes from elsewhere or on a known device.
   */
  async login<T>(
    who: {
      readonly username: string;
      readonly address?: string | undefined;
      readonly knownDevice?: string | undefined;
    },
    work: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    const name = foldedName(who.username);
    const device = await this.devices.find(who.username, who.knownDevice);
    const buckets =
      device === undefined
        ? {
            own: await this.hash.of('login', name, networkOf(who.address)),
            total: await this.hash.of('logins by name', name),
          }
        : { own: await this.hash.of('login on a known device', name, device) };
    // All known devices of a name are one: whoever was let in once may have many.
    const turn: Turn =
      device === undefined
        ? { of: `from ${networkOf(who.address)}`, known: false }
        : { of: `name ${name}`, known: true };
    return this.limit(buckets, 'invalid_credentials', () => work(turn));
  }

  /** The redemption of a one-time code, by network: a wrong code names nobody. */
  async redemption<T>(address: string | undefined, work: () => Promise<T>): Promise<T> {
    return this.limit({ own: await this.hash.of('redemption', networkOf(address)) }, 'invalid_code', work);
  }

  /** The proof of the current password, by session: only who has the session can use its attempts up. */
  async reauthentication<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    return this.limit({ own: await this.hash.of('reauthentication', sessionId) }, 'invalid_credentials', work);
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

  private async limit<T>(buckets: Buckets, wrongGuess: ErrorCode, work: () => Promise<T>): Promise<T> {
    const { wait, slow } = await this.take(buckets);
    if (wait > 0) {
      throw new KeyturnError('too_many_attempts', 'Too many attempts. Wait a moment, then try again.', {
        retryAfter: wait,
      });
    }
    if (slow) await this.slowDown();
    // A total that was full took nothing.
    const taken = buckets.total && !slow ? [buckets.own, buckets.total] : [buckets.own];
    try {
      const result = await work();
      await this.giveBack(taken);
      return result;
    } catch (error) {
      if (!(error instanceof KeyturnError && error.code === wrongGuess)) await this.giveBack(taken);
      throw error;
    }
  }

  private async take({ own, total }: Buckets): Promise<{ wait: number; slow: boolean }> {
    const { attempts, attemptsByName, interval } = this.config.throttling;
    try {
      const [row] = await this.dataSource.query<{ wait: number; total: number }[]>(
        `SELECT wait, CASE WHEN wait = 0 AND $2::bytea IS NOT NULL THEN keyturn.take_attempt($2, $4, make_interval(secs => $5)) ELSE 0 END AS total
         FROM (SELECT keyturn.take_attempt($1, $3, make_interval(secs => $5)) AS wait) own`,
        [own, total ?? null, attempts, attemptsByName, interval / 1_000],
      );
      if (!row) throw new Error('take_attempt returned no row');
      return { wait: row.wait, slow: row.total > 0 };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** The attempt itself has ended as it has; at worst one too many is counted. */
  private async giveBack(buckets: readonly Buffer[]): Promise<void> {
    try {
      await this.dataSource.query(
        `UPDATE keyturn.attempt_buckets SET empty_at = empty_at - make_interval(secs => $2) WHERE bucket_hash = ANY ($1)`,
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
