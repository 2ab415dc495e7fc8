import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron, CronExpression } from '@nestjs/schedule';
import { CONFIG, type Config } from '../../config/config.js';
import { ConfigError } from '../../config/load-config.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { News } from '../../database/news.js';
import { brokenBySettings } from '../planning/forecast.js';
import { KeyTick } from './key-tick.js';
import { Reconciliation } from '../operations/reconciliation.js';
import { Replica } from '../replicas/replica.js';
import { KeyRefresh } from '../ring/key-refresh.js';
import { KeyRing } from '../ring/key-ring.js';
import { SigningKeyStore } from '../store/signing-key-store.js';

/** After a look that failed the next one waits for so long: each costs queries, and perhaps a key pair. */
const RETRY_MS = 5_000;

/** What drives the keys of a server: its start, the clock, and news. A command line has none of it. */
@Injectable()
export class KeyUpkeep implements OnApplicationBootstrap {
  private readonly logger = new Logger('KeyUpkeep');
  /** The key event after which it was last looked whether something is to be done. */
  private lookedAt = -1;
  private looking: Promise<void> | undefined;
  /** When a look failed last, by the database's clock. */
  private failedAt = -Infinity;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly news: News,
    private readonly tick: KeyTick,
    private readonly refresh: KeyRefresh,
    private readonly ring: KeyRing,
    private readonly replica: Replica,
    private readonly store: SigningKeyStore,
    private readonly clock: DatabaseClock,
    private readonly reconciliation: Reconciliation,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    // Before anything is made of these rows, and of every news first.
    this.news.subscribe(({ restored, knownIncarnation }) => this.reconciliation.follow(restored, knownIncarnation));
    await this.news.check();
    await this.refuseSettingsThatKeysForbid();
    await this.tick.runAndReport();
    this.news.subscribe(async ({ generation, missed }) => {
      // Another history may have as many events as this one.
      if (missed) {
        this.ring.rewind();
        this.lookedAt = -1;
      }
      await this.refresh.atLeast(generation);
      this.attend(generation);
      await this.replica.report();
    });
    this.news.start(this.config.keys.pollInterval);
  }

  /** Resolves when nothing is being looked at. */
  async idle(): Promise<void> {
    await this.looking;
  }

  /**
   * A revocation typed by hand heals here: a new standby appears at once, not at the next minute. Beside the news, never in its way:
   * to make an RSA key takes seconds, and what ends or is revoked meanwhile comes by the same news.
   */
  private attend(generation: number): void {
    // Not compared with the ring: a login may have brought that up to date already, and still nobody has looked for a successor.
    if (generation === this.lookedAt || this.looking) return;
    if (Math.abs(this.clock.now() - this.failedAt) < RETRY_MS) return;
    this.looking = this.look().finally(() => (this.looking = undefined));
  }

  private async look(): Promise<void> {
    const { epoch } = this.ring;
    const knew = await this.tick.runAndReport();
    // What was looked at was another history.
    if (epoch !== this.ring.epoch) return;
    if (knew === undefined) this.failedAt = this.clock.now();
    // A run that was joined midway knew less than the news: the next news looks again.
    else this.lookedAt = knew;
  }

  private async refuseSettingsThatKeysForbid(): Promise<void> {
    const { keys, now } = await this.store.look();
    const problems = brokenBySettings(keys, this.config.tokens.accessTokenTtl, now);
    if (problems.length > 0) throw new ConfigError(problems);
  }

  /** A successor is due by the clock, not by this job; the job only makes sure that there is one. */
  @Cron(CronExpression.EVERY_MINUTE, { name: 'key-tick', waitForCompletion: true })
  async everyMinute(): Promise<void> {
    this.logger.debug('looking whether a key is due');
    await this.tick.runAndReport();
  }
}
