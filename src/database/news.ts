import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DatabaseClock } from './database-clock.js';

/** What has changed since the last item that every listener took. */
export interface NewsItem {
  /** seq of the newest key event. */
  readonly generation: number;
  /** seq of the newest event of any kind. */
  readonly headSeq: number;
  /** Users whose roles or standing changed. */
  readonly changedUsers: readonly string[];
  /** Sessions that ended: told once it is committed, however long the transaction took. */
  readonly endedSessions: readonly string[];
  /** History is not the one that it was: a backup was restored. Implies `missed`. */
  readonly rewound: boolean;
  /** The database is an older copy of itself, which must be reconciled. Implies `missed`. */
  readonly restored: boolean;
  /** The incarnation of the database as it was told last; 0: never yet. */
  readonly knownIncarnation: number;
  /** Perhaps not all that happened is told, as when Postgres was restarted or fails over: nothing remembered is worth anything. */
  readonly missed: boolean;
}

type Listener = (item: NewsItem) => void | Promise<void>;

interface Row {
  readonly clock: Date;
  readonly seen: string;
  readonly key_generation: string;
  readonly head_seq: string;
  readonly head_hash: string;
  readonly changed_users: string[];
  readonly ended_sessions: string[];
  readonly rewound: boolean;
  readonly missed: boolean;
  readonly restored: boolean;
  readonly incarnation: string | null;
  readonly server_started: Date;
}

/** Where the last answer ended. */
type Place = Pick<Row, 'clock' | 'seen' | 'head_seq' | 'head_hash' | 'incarnation' | 'server_started'>;

/** More than any seq: the first question asks for no past changes, there is no memory yet that they could touch. */
const NOTHING_YET = '9223372036854775807';
/** Rows of sessions stay for a day after their end, so that whoever was away for less hears of each. Far below that. */
const LONGEST_GAP_MS = 60 * 60_000;

/** Asks the database for news with one small statement, and tells whoever listens. Each answer also sets the clock. */
@Injectable()
export class News implements OnApplicationShutdown {
  private readonly logger = new Logger('News');
  private readonly listeners: Listener[] = [];
  private place: Place | undefined;
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

  /** Asks once. Rejects when the database cannot be had or a listener could not follow: then all is told once more. */
  async check(): Promise<void> {
    const since = this.place;
    const sentAt = performance.now();
    const [row] = await this.dataSource.query<Row[]>('SELECT * FROM keyturn.news($1, $2, $3)', [
      since?.head_seq ?? NOTHING_YET,
      since?.head_hash ?? null,
      since?.seen ?? null,
    ]);
    if (!row) throw new Error('keyturn.news returned no row');
    this.clock.observe(row.clock.getTime(), sentAt, performance.now());
    const rewound = since !== undefined && row.rewound;
    const reconciled = since !== undefined && row.incarnation !== since.incarnation;
    // A standby that took over uses the numbers of transactions that it lacks again: what they ended would not be told.
    const moved = since !== undefined && row.server_started.getTime() !== since.server_started.getTime();
    // By the database's clock: a machine that was asleep has no idea for how long.
    const gap = since === undefined ? 0 : row.clock.getTime() - since.clock.getTime();
    const item: NewsItem = {
      generation: Number(row.key_generation),
      headSeq: Number(row.head_seq),
      changedUsers: row.changed_users,
      endedSessions: row.ended_sessions,
      rewound,
      restored: rewound || row.restored,
      missed: rewound || row.restored || row.missed || reconciled || moved || gap > LONGEST_GAP_MS,
      knownIncarnation: Number(since?.incarnation ?? 0),
    };
    for (const listener of this.listeners) await listener(item);
    // Not before: a server that comes back after it was cut off must not judge by what it knew.
    this.clock.followed(sentAt);
    this.place = row;
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
