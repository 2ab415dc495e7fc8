import { Injectable } from '@nestjs/common';

/**
 * The database's clock, carried on between readings by this machine's monotonic timer. A wrong or jumping wall clock here
 * changes nothing.
 */
@Injectable()
export class DatabaseClock {
  /** Database time minus monotonic time; before the first reading, this machine's own opinion. */
  private offset = Date.now() - performance.now();
  /** When the database was last asked and all that it told is known here (monotonic). */
  private followedAt: number | undefined;
  /** The offset that an instant said by the way has proven to be the least, and when (monotonic). */
  private proven = { offset: -Infinity, at: -Infinity };

  /** Milliseconds since 1970. */
  now(): number {
    return Math.round(performance.now() + this.offset);
  }

  /**
   * Takes a reading. The database read its clock somewhere between the two moments, so their middle is wrong by half the
   * round trip at most.
   */
  observe(databaseNow: number, sentAt: number, receivedAt: number): void {
    const offset = databaseNow - (sentAt + receivedAt) / 2;
    // What was said while this reading was on its way is newer.
    this.offset = this.proven.at >= sentAt ? Math.max(offset, this.proven.offset) : offset;
  }

  /** All that the database had to tell at this moment, by the monotonic timer, is known here. An answer alone is not enough. */
  followed(askedAt: number): void {
    this.followedAt = askedAt;
  }

  /** The database has said this instant, in whatever answer: it is not behind it, and neither are we. */
  reached(databaseNow: number): void {
    const at = performance.now();
    const offset = databaseNow - at;
    if (offset <= this.offset) return;
    this.proven = { offset, at };
    this.offset = offset;
  }

  /** Milliseconds for which the database may have told more than is known here; Infinity before the first time. */
  silence(): number {
    return this.followedAt === undefined ? Infinity : performance.now() - this.followedAt;
  }

  /** How far this machine's wall clock runs ahead of the database's, in milliseconds. */
  wallClockAhead(): number {
    return Date.now() - this.now();
  }
}
