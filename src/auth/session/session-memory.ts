import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DatabaseClock } from '../../database/database-clock.js';
import { News, type NewsItem } from '../../database/news.js';
import { SessionStore, type Session } from './session-store.js';

/** Sessions remembered at most; about 300 bytes each. Given as a size, because for a `max` the cache takes all its room at the start. */
const CAPACITY = 100_000;

/**
 * Live sessions in memory, so that a guarded request asks no database. The first sight of a session costs one read by primary key;
 * news of ended sessions and changed users takes them out within a poll.
 */
@Injectable()
export class SessionMemory {
  private readonly sessions = new LRUCache<string, Session>({ maxSize: CAPACITY, sizeCalculation: () => 1 });
  private readonly reading = new Map<string, Promise<Session | undefined>>();
  /** Ids of sessions that ended and users that changed, and when we heard of it (monotonic milliseconds), for reads under way. */
  private readonly news = new Map<string, number>();
  /** When reads began that are under way. */
  private readonly begun = new Set<{ readonly at: number }>();
  private missedAt = -Infinity;

  constructor(
    private readonly store: SessionStore,
    private readonly clock: DatabaseClock,
    news: News,
  ) {
    news.subscribe((item) => this.hear(item));
  }

  /**
   * The live session of this id, no older than the user's version `ver`; undefined when there is none.
   * @throws KeyturnError `database_unavailable` when it must be read and cannot
   */
  async find(id: string, ver: number): Promise<Session | undefined> {
    const remembered = this.recall(id, ver);
    if (remembered) return remembered;
    let read = await this.read(id);
    // A read under way when we joined it may have begun before the change that this token knows of.
    if (read && read.ver < ver) read = await this.readNow(id);
    return read && this.isLive(read) ? read : undefined;
  }

  /** The same from memory alone. */
  recall(id: string, ver: number): Session | undefined {
    const remembered = this.sessions.get(id);
    // A refresh on another server moves the idle limit, and brings a newer ver: both are read once more before refusing.
    return remembered && remembered.ver >= ver && this.isLive(remembered) ? remembered : undefined;
  }

  /** Takes a session out at once on the server that ended it; the others hear of it. */
  forget(id: string): void {
    this.sessions.delete(id);
    this.news.set(id, performance.now());
  }

  private isLive(session: Session): boolean {
    const now = this.clock.now();
    return !session.over && now < session.idleExpiresAt && now < session.expiresAt;
  }

  private read(id: string): Promise<Session | undefined> {
    let reading = this.reading.get(id);
    if (!reading) {
      reading = this.readNow(id).finally(() => this.reading.delete(id));
      this.reading.set(id, reading);
    }
    return reading;
  }

  private async readNow(id: string): Promise<Session | undefined> {
    for (;;) {
      const read = { at: performance.now() };
      this.begun.add(read);
      try {
        const session = await this.store.find(id);
        if (!session) return undefined;
        // News that came while we read may be newer than what we read.
        if (this.heardSince(read.at, id) || this.heardSince(read.at, session.userId)) continue;
        if (!session.over) this.sessions.set(id, session);
        return session;
      } finally {
        this.begun.delete(read);
      }
    }
  }

  private heardSince(at: number, subject: string): boolean {
    return Math.max(this.missedAt, this.news.get(subject) ?? -Infinity) >= at;
  }

  private hear({ endedSessions, changedUsers, missed }: NewsItem): void {
    const heardAt = performance.now();
    const oldestRead = Math.min(heardAt, ...[...this.begun].map(({ at }) => at));
    for (const [subject, at] of this.news) if (at < oldestRead) this.news.delete(subject);
    if (missed) {
      this.missedAt = heardAt;
      this.sessions.clear();
    }
    for (const id of endedSessions) {
      this.sessions.delete(id);
      this.news.set(id, heardAt);
    }
    if (changedUsers.length === 0) return;
    const changed = new Set(changedUsers);
    for (const userId of changed) this.news.set(userId, heardAt);
    for (const [id, session] of this.sessions.entries()) if (changed.has(session.userId)) this.sessions.delete(id);
  }
}
