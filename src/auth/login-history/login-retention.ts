import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron } from '@nestjs/schedule';
import { DataSource } from 'typeorm';
import { CONFIG, type Config } from '../../config/config.js';

/** Has the database make the partitions of the months to come, and put away those whose time is over. */
@Injectable()
export class LoginRetention implements OnApplicationBootstrap {
  private readonly logger = new Logger('LoginRetention');

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly dataSource: DataSource,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.runAndReport();
  }

  /** Partitions are made two months ahead: a day on which this fails does no harm. */
  @Cron('17 3 * * *', { name: 'login-retention', waitForCompletion: true })
  async everyDay(): Promise<void> {
    await this.runAndReport();
  }

  /** Runs; whatever goes wrong is logged, no login waits for it. */
  async runAndReport(): Promise<void> {
    try {
      const done = await this.dataSource.query<{ partition: string; what: string }[]>(
        'SELECT partition, what FROM keyturn.keep_login_partitions(make_interval(secs => $1))',
        [this.config.loginHistoryKeep / 1_000],
      );
      for (const { partition, what } of done) this.logger.log({ message: `${partition} ${what}` });
    } catch (error) {
      this.logger.error(
        `logins could not be put in order by months: ${error instanceof Error ? error.message : 'unknown error'}`,
      );
    }
  }
}
