import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Cron, CronExpression } from '@nestjs/schedule';
import { CONFIG, type Config } from '../config/config.js';
import { ConfigError } from '../config/load-config.js';
import { News } from '../database/news.js';
import { brokenBySettings } from './forecast.js';
import { KeyTick } from './key-tick.js';
import { Replica } from './replicas.js';
import { KeyRefresh } from './ring/key-refresh.js';
import { KeyRing } from './ring/key-ring.js';
import { SigningKeyStore } from './signing-key-store.js';

/** What drives the keys of a server: its start, the clock, and news. A command line has none of it. */
@Injectable()
export class KeyUpkeep implements OnApplicationBootstrap {
  private readonly logger = new Logger('KeyUpkeep');
  /** The key event after which it was last looked whether something is to be done. */
  private lookedAt = -1;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly news: News,
    private readonly tick: KeyTick,
    private readonly refresh: KeyRefresh,
    private readonly ring: KeyRing,
    private readonly replica: Replica,
    private readonly store: SigningKeyStore,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.news.check();
    await this.refuseSettingsThatKeysForbid();
    await this.tick.runAndReport();
    await this.replica.report();
    this.news.subscribe(async ({ generation, rewound }) => {
      if (rewound) this.ring.generation = -1;
      await this.refresh.atLeast(generation);
      // Not compared with the ring: a login may have brought that up to date already, and still nobody has looked for a successor.
      if (generation !== this.lookedAt) {
        this.lookedAt = generation;
        // A revocation typed by hand heals here: a new standby appears at once, not at the next minute.
        await this.tick.runAndReport();
      }
      await this.replica.report();
    });
    this.news.start(this.config.keys.pollInterval);
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
