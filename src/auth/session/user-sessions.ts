import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { OF_THIS_INCARNATION } from '../../database/incarnation.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { SessionMemory } from './session-memory.js';
import type { OwnEndReason } from './session-store.js';
import { viewSession, type SessionView, type SessionViewRow } from './session-view.js';

/** More live sessions than that are no person's. */
const SHOWN = 1_000;
/** `password_reset` is in history by the reset itself. */
type EndReason = OwnEndReason | 'administrator' | 'password_reset';

const LIVE = `ended_at IS NULL AND keyturn.clock() < idle_expires_at AND keyturn.clock() < expires_at AND ${OF_THIS_INCARNATION}`;

/** Columns of an end. Who names `ended_at` takes the lock of every change: an end that goes into history must, no other may. */
const endColumns = (reason: EndReason): string =>
  `${reason === 'administrator' ? 'ended_at = keyturn.clock(), ' : ''}end_reason`;

/**
 * The sessions of one user: to be seen and to be ended. Whatever ends is forgotten at once here; other servers hear of it with the
 * news. Every method throws KeyturnError `database_unavailable` when the database cannot be had.
 */
@Injectable()
export class UserSessions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly memory: SessionMemory,
  ) {}

  /** The live ones, last used first. */
  async list(userId: string): Promise<readonly SessionView[]> {
    try {
      const rows = await this.dataSource.query<SessionViewRow[]>(
        `SELECT id, user_agent, host(address) AS address, created_at, refreshed_at, least(idle_expires_at, expires_at) AS expires_at
         FROM keyturn.sessions WHERE user_id = $1 AND ${LIVE} ORDER BY refreshed_at DESC, id LIMIT $2`,
        [userId, SHOWN],
      );
      return rows.map(viewSession);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** Ends one, if it is this user's and live; false when it is not. Returns after commit. */
  async end(userId: string, id: string, reason: OwnEndReason): Promise<boolean> {
    const ended = await this.endWithin(this.dataSource.manager, userId, id, reason);
    this.forget(ended);
    return ended.length > 0;
  }

  /** The same within a change; {@link forget} what it returns when the change is committed. */
  endWithin(manager: EntityManager, userId: string, id: string, reason: EndReason): Promise<readonly string[]> {
    return this.update(
      manager,
      `UPDATE keyturn.sessions SET ${endColumns(reason)} = $3 WHERE user_id = $1 AND id = $2 AND ${LIVE} RETURNING id`,
      [userId, id, reason],
    );
  }

  /** Ends them all. Returns after commit. */
  async endAll(userId: string, reason: OwnEndReason): Promise<void> {
    this.forget(await this.endAllWithin(this.dataSource.manager, userId, reason));
  }

  /** The same within a change, all but `except`; {@link forget} what it returns when the change is committed. */
  endAllWithin(
    manager: EntityManager,
    userId: string,
    reason: EndReason,
    except: string | null = null,
  ): Promise<readonly string[]> {
    return this.update(
      manager,
      `UPDATE keyturn.sessions SET ${endColumns(reason)} = $2
       WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $3::uuid RETURNING id`,
      [userId, reason, except],
    );
  }

  /** Ids of the live ones, within a change that holds the user. */
  async idsWithin(manager: EntityManager, userId: string): Promise<readonly string[]> {
    const rows = await manager.query<{ id: string }[]>(
      `SELECT id FROM keyturn.sessions WHERE user_id = $1 AND ${LIVE}`,
      [userId],
    );
    return rows.map(({ id }) => id);
  }

  /** Sessions that ended, or whose user changed: what this server remembers of them is worth nothing. */
  forget(ids: readonly string[]): void {
    for (const id of ids) this.memory.forget(id);
  }

  private async update(
    manager: EntityManager,
    sql: string,
    parameters: readonly unknown[],
  ): Promise<readonly string[]> {
    try {
      // TypeORM answers an UPDATE with [rows, count].
      const [rows] = await manager.query<[{ id: string }[], number]>(sql, [...parameters]);
      return rows.map(({ id }) => id);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}
