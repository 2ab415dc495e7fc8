import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { CONFIG, type Config } from '../../config/config.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { OF_THIS_INCARNATION } from '../../database/incarnation.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { ATTEMPT_COLUMNS, attemptValues, type Attempt } from '../login-history/attempt.js';
import { firstRefreshToken, hashOf, type RefreshToken } from './refresh-token.js';

/** The end of a session by the person's own act: it waits for no change of keys or users, and is not in history. */
export type OwnEndReason = 'logout' | 'logout_all' | 'password_changed';

/** What a guard must know of a session. Instants are milliseconds since 1970. */
export interface Session {
  readonly id: string;
  readonly userId: string;
  readonly username: string;
  readonly roles: readonly string[];
  /** The user's version: an access token with another is refused. */
  readonly ver: number;
  readonly createdAt: number;
  readonly idleExpiresAt: number;
  readonly expiresAt: number;
  /** Ended, or of an older copy of the database, or its user disabled. */
  readonly over: boolean;
}

/** A session as it was just written or read, with what a token needs: the database's time and the generation of the key set. */
export interface SessionAtHand extends Session {
  readonly now: number;
  readonly keyGeneration: number;
  readonly refreshedAt: number;
  readonly refreshGeneration: number;
  readonly refreshHash: Buffer;
}

export interface OpenedSession {
  readonly session: SessionAtHand;
  readonly token: RefreshToken;
}

interface Row {
  id: string;
  user_id: string;
  username: string;
  roles: string[];
  ver: number;
  created_at: Date;
  refreshed_at: Date;
  idle_expires_at: Date;
  expires_at: Date;
  over: boolean;
  refresh_generation: number;
  refresh_hash: Buffer;
  now: Date;
  key_generation: string;
}

const columns = (s: string, u: string): string => `
  ${s}.id, ${s}.user_id, ${u}.username, ${u}.roles, ${u}.ver, ${s}.created_at, ${s}.refreshed_at, ${s}.idle_expires_at, ${s}.expires_at,
  (${s}.ended_at IS NOT NULL OR ${u}.disabled_at IS NOT NULL OR (${s}.${OF_THIS_INCARNATION}) IS NOT TRUE) AS over, ${s}.refresh_generation, ${s}.refresh_hash,
  keyturn.clock() AS now, keyturn.key_generation() AS key_generation`;

const fromRow = (row: Row): SessionAtHand => ({
  id: row.id,
  userId: row.user_id,
  username: row.username,
  roles: row.roles,
  ver: row.ver,
  createdAt: row.created_at.getTime(),
  refreshedAt: row.refreshed_at.getTime(),
  idleExpiresAt: row.idle_expires_at.getTime(),
  expiresAt: row.expires_at.getTime(),
  over: row.over,
  refreshGeneration: row.refresh_generation,
  refreshHash: row.refresh_hash,
  now: row.now.getTime(),
  keyGeneration: Number(row.key_generation),
});

/** `keyturn.sessions`. Every method throws KeyturnError `database_unavailable` when the database cannot be had. */
@Injectable()
export class SessionStore {
  constructor(
    private readonly dataSource: DataSource,
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: DatabaseClock,
  ) {}

  /** Begins a session of a user whose password was right, and records the login; undefined when it, or they, have just changed. */
  async open(
    user: { readonly id: string; readonly passwordChangedAt: Date | null },
    attempt: Attempt,
  ): Promise<OpenedSession | undefined> {
    const token = firstRefreshToken(randomUUID());
    const { idleTimeout, maxAge } = this.config.sessions;
    const session = await this.one(
      `WITH u AS (
         SELECT * FROM keyturn.users WHERE id = $2 AND disabled_at IS NULL AND password_hash IS NOT NULL
           AND date_trunc('milliseconds', password_changed_at) IS NOT DISTINCT FROM $6::timestamptz
         FOR SHARE -- who changes the user waits, and then ends this too; whom we waited for has left the roles that we return
       ), s AS (
         INSERT INTO keyturn.sessions (id, user_id, idle_expires_at, expires_at, refresh_hash, address, user_agent)
         SELECT $1, id, keyturn.clock() + make_interval(secs => $3), keyturn.clock() + make_interval(secs => $4), $5, $8, $9 FROM u
         RETURNING *
       ), recorded AS (
         INSERT INTO keyturn.login_events (outcome, user_id, session_id, ${ATTEMPT_COLUMNS})
         SELECT 'success', user_id, id, $7, $8, $9, $10 FROM s
       )
       SELECT ${columns('s', 'u')} FROM s JOIN u ON u.id = s.user_id`,
      [
        token.sessionId,
        user.id,
        Math.min(idleTimeout, maxAge - 1) / 1_000,
        maxAge / 1_000,
        hashOf(token),
        user.passwordChangedAt,
        ...attemptValues(attempt),
      ],
    );
    return session && { session, token };
  }

  /** Spends `token` for `successor`; undefined when it is not, or no longer, the one that is good. */
  async spend(token: RefreshToken, successor: RefreshToken): Promise<SessionAtHand | undefined> {
    return this.one(
      `WITH u AS (
         -- Held, as at login: never the roles of before a change that was committed while this waited.
         SELECT * FROM keyturn.users
         WHERE id = (SELECT user_id FROM keyturn.sessions WHERE id = $1) AND disabled_at IS NULL FOR SHARE
       )
       UPDATE keyturn.sessions s SET
         refresh_hash = $4, refresh_generation = $5, refreshed_at = keyturn.clock(),
         idle_expires_at = least(keyturn.clock() + make_interval(secs => $6), s.expires_at)
       FROM u
       WHERE s.id = $1 AND s.refresh_generation = $2 AND s.refresh_hash = $3 AND u.id = s.user_id
         AND s.ended_at IS NULL AND keyturn.clock() < s.idle_expires_at AND keyturn.clock() < s.expires_at
         AND s.${OF_THIS_INCARNATION}
       RETURNING ${columns('s', 'u')}`,
      [
        token.sessionId,
        token.generation,
        hashOf(token),
        hashOf(successor),
        successor.generation,
        this.config.sessions.idleTimeout / 1_000,
      ],
    );
  }

  /** A session by id, whatever has become of it. */
  find(id: string): Promise<SessionAtHand | undefined> {
    return this.one(
      `SELECT ${columns('s', 'u')} FROM keyturn.sessions s JOIN keyturn.users u ON u.id = s.user_id WHERE s.id = $1`,
      [id],
    );
  }

  /** Ends a session; one that has ended already stays as it is. Returns after commit. */
  async end(id: string, reason: OwnEndReason): Promise<void> {
    await this.query('UPDATE keyturn.sessions SET end_reason = $2 WHERE id = $1 AND ended_at IS NULL', [id, reason]);
  }

  private async one(sql: string, parameters: readonly unknown[]): Promise<SessionAtHand | undefined> {
    // TypeORM answers an UPDATE with [rows, count] and everything else with rows.
    const answer = await this.query<Row[] | [Row[], number]>(sql, parameters);
    const [first] = answer;
    const row = Array.isArray(first) ? first[0] : first;
    if (!row) return undefined;
    // Its time goes into a token, and this server may be the first to judge that.
    this.clock.reached(row.now.getTime());
    return fromRow(row);
  }

  private async query<T>(sql: string, parameters: readonly unknown[]): Promise<T> {
    try {
      return await this.dataSource.query<T>(sql, [...parameters]);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}
