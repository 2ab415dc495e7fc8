import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { asKeyturnError } from '../../database/unavailable.js';
import { hashOfCode } from '../codes/user-codes.js';
import { ATTEMPT_COLUMNS, attemptValues, type Attempt } from './attempt.js';

/** Why a login was refused: what the log and the counts may know, and no answer over HTTP. */
type RefusedOutcome = 'wrong_password' | 'unknown_user' | 'disabled' | 'throttled';

/**
 * `keyturn.login_events`, beside the successes, which are written with the session they begin. Never a password. Every method throws
 * KeyturnError `database_unavailable` when the database cannot be had.
 */
@Injectable()
export class LoginHistory {
  private readonly logger = new Logger('LoginHistory');

  constructor(private readonly dataSource: DataSource) {}

  /**
   * A login that was refused; `throttled`: before anything was compared. Why otherwise, the database finds out, and tells us alone: one
   * statement, the same for anybody, so that unknown, wrong and disabled take alike long.
   */
  async recordRefusal(attempt: Attempt, throttled: boolean): Promise<RefusedOutcome> {
    const [recorded] = await this.write<{ outcome: RefusedOutcome }>(
      `INSERT INTO keyturn.login_events (outcome, user_id, ${ATTEMPT_COLUMNS})
       SELECT CASE WHEN $5::boolean THEN 'throttled' WHEN u.id IS NULL THEN 'unknown_user' WHEN u.disabled_at IS NOT NULL THEN 'disabled' ELSE 'wrong_password' END,
         u.id, typed.username, $2, $3, $4
       FROM (VALUES ($1::text)) typed (username) LEFT JOIN keyturn.users u ON lower(u.username) = lower(typed.username)
       RETURNING outcome`,
      [...attemptValues(attempt), throttled],
    );
    if (!recorded) throw new Error('a refused login left no row');
    return recorded.outcome;
  }

  /** A password that was set with a code that is now spent. It stays set when this fails, so that is only logged: audit_log has it. */
  async recordRedemption(code: string, attempt: Attempt): Promise<void> {
    const recorded = this.write(
      `INSERT INTO keyturn.login_events (outcome, user_id, ${ATTEMPT_COLUMNS})
       SELECT 'code_redeemed', u.id, $1, $2, $3, $4
       FROM keyturn.one_time_codes c JOIN keyturn.users u
         ON u.id = coalesce(c.user_id, (SELECT id FROM keyturn.users WHERE lower(username) = lower($1)))
       WHERE c.code_hash = $5`,
      [...attemptValues(attempt), hashOfCode(code)],
    );
    await recorded.catch((error: unknown) => {
      this.logger.error(
        `a redeemed code could not be recorded: ${error instanceof Error ? error.message : 'unknown error'}`,
      );
    });
  }

  /**
   * A spent refresh token came back: its session ends, and that is recorded, both or neither, once however often it comes. False when
   * somebody else was faster.
   */
  async endReused(sessionId: string, attempt: Attempt): Promise<boolean> {
    const [, address, userAgent, requestId] = attemptValues(attempt);
    const recorded = await this.write(
      `WITH ended AS (
         UPDATE keyturn.sessions SET end_reason = 'refresh_token_reused'
         WHERE id = $1 AND ended_at IS NULL RETURNING id, user_id
       )
       INSERT INTO keyturn.login_events (outcome, session_id, user_id, address, user_agent, request_id)
       SELECT 'refresh_reused', id, user_id, $2::inet, $3, $4 FROM ended RETURNING id`,
      [sessionId, address, userAgent, requestId],
    );
    return recorded.length > 0;
  }

  private async write<Row>(sql: string, parameters: readonly unknown[]): Promise<readonly Row[]> {
    try {
      return await this.dataSource.query<Row[]>(sql, [...parameters]);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}
