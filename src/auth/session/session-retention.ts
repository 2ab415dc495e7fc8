import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron } from '@nestjs/schedule';
import { DataSource } from 'typeorm';
import { CONFIG, type Config } from '../../config/config.js';

/** Rows deleted at once: a statement that is far from its timeout and holds nobody up. */
const BATCH = 1_000;

/**
 * Deletes the rows of sessions and one-time codes whose time was over long ago. None of them answers anything but a missing row does:
 * a refresh token of a session that is over is refused either way, and who logged in is in the login history.
 */
@Injectable()
export class SessionRetention implements OnApplicationBootstrap {
  private readonly logger = new Logger('SessionRetention');

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly dataSource: DataSource,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.runAndReport();
  }

  @Cron('37 3 * * *', { name: 'session-retention', waitForCompletion: true })
  async everyDay(): Promise<void> {
    await this.runAndReport();
  }

  /** Runs; whatever goes wrong is logged, no login waits for it. */
  async runAndReport(): Promise<void> {
    try {
      const sessions = await this.prune('sessions', 'id', 'ended_at < kept_from OR expires_at < kept_from');
      const codes = await this.prune('one_time_codes', 'code_hash', 'expires_at < kept_from');
      if (sessions + codes > 0) this.logger.log({ message: `${sessions} sessions and ${codes} codes deleted` });
    } catch (error) {
      this.logger.error(
        `sessions that are over could not be deleted: ${error instanceof Error ? error.message : 'unknown error'}`,
      );
    }
  }

  private async prune(table: string, key: string, over: string): Promise<number> {
    let deleted = 0;
    for (;;) {
      // TypeORM answers a DELETE with [rows, count]. Servers that do the same at once take different rows.
      const [, count] = await this.dataSource.query<[unknown, number]>(
        `DELETE FROM keyturn.${table} WHERE ${key} IN (
           SELECT ${key} FROM keyturn.${table}, (SELECT keyturn.clock() - make_interval(secs => $1) AS kept_from) kept
           WHERE ${over} LIMIT ${BATCH} FOR UPDATE OF ${table} SKIP LOCKED)`,
        [this.config.sessions.keep / 1_000],
      );
      deleted += count;
      if (count < BATCH) return deleted;
    }
  }
}
