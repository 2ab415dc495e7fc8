import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DatabaseClock } from './database-clock.js';

/** What has changed since the last time a server asked. */
export interface NewsItem {
  /** seq of the newest key event. */
  readonly generation: number;
  /** seq of the newest event of any kind. */
  readonly headSeq: number;
  /** Users whose roles or standing changed. */
  readonly changedUsers: readonly string[];
  /** Sessions that ended in the last 30 seconds; the same ones come again and again until then. */
  readonly endedSessions: readonly string[];
  /** History is shorter than it was: a backup was restored, nothing remembered is worth anything. */
  readonly rewound: boolean;
}

type Listener = (item: NewsItem) => void | Promise<void>;

/** More than any seq: the first question asks for no past changes, there is no memory yet that they could touch. */
const NOTHING_YET = '9223372036854775807';

/** Asks the database for news with one small statement, and tells whoever listens. Each answer also sets the clock. */
@Injectable()
export class News implements OnApplicationShutdown {
  private readonly logger = new Logger('News');
  private readonly listeners: Listener[] = [];
  private headSeq: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;
  private failing = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: DatabaseClock,
  ) {}

  subscribe(listener: Listener): void {
    this.listeners.push(listener);
  }

  /** Asks once. Rejects when the database cannot be had or a listener could not follow. */
  async check(): Promise<void> {
    const sentAt = performance.now();
    const [row] = await this.dataSource.query<
      { clock: Date; key_generation: string; head_seq: string; changed_users: string[]; ended_sessions: string[] }[]
    >('SELECT * FROM keyturn.news($1)', [this.headSeq ?? NOTHING_YET]);
    if (!row) throw new Error('keyturn.news returned no row');
    this.clock.observe(row.clock.getTime(), sentAt, performance.now());
    const headSeq = Number(row.head_seq);
    const item: NewsItem = {
      generation: Number(row.key_generation),
      headSeq,
      changedUsers: row.changed_users,
      endedSessions: row.ended_sessions,
      rewound: this.headSeq !== undefined && headSeq < this.headSeq,
    };
    this.headSeq = headSeq;
    for (const listener of this.listeners) await listener(item);
  }

  /** Asks again and again, `interval` milliseconds after each answer, until shutdown. */
  start(interval: number): void {
    const round = async (): Promise<void> => {
      await this.check().then(
        () => this.report(undefined),
        (error: unknown) => this.report(error),
      );
      if (!this.stopped) this.timer = setTimeout(() => void round(), interval);
    };
    this.timer = setTimeout(() => void round(), interval);
  }

  onApplicationShutdown(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** One line when it begins to fail, one when it is over: not two a second. */
  private report(error: unknown): void {
    if (error === undefined) {
      if (this.failing) this.logger.log('news from the database again');
    } else if (!this.failing && !this.stopped) {
      this.logger.error(`no news from the database: ${error instanceof Error ? error.message : 'unknown error'}`);
    }
    this.failing = error !== undefined;
  }
}
