import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { readAtLength } from '../database/long-read.js';
import { asKeyturnError } from '../database/unavailable.js';

/** A line of `audit.key_history`, as HTTP gives it. Times are ISO 8601 in UTC. */
export interface KeyEvent {
  readonly seq: number;
  readonly at: string;
  readonly version: number;
  readonly kid: string;
  readonly event: string;
  /** In words. */
  readonly what: string;
  readonly who: string;
  readonly reason: string | null;
  readonly requestId: string | null;
}

/** The answer of `audit.verify_history()`. */
export interface HistoryVerdict {
  readonly ok: boolean;
  readonly checked: {
    readonly events: number;
    readonly keys: number;
    readonly users: number;
    readonly checkpoints: number;
  };
  readonly head: HistoryHead | null;
  /** In words, and the first row, signing key or user that does not fit; null when all fits. */
  readonly problem: string | null;
  readonly seq: number | null;
  readonly version: number | null;
  readonly userId: string | null;
}

/** The newest row: its hash stands for every row up to it. */
export interface HistoryHead {
  readonly seq: number;
  readonly hash: string;
}

/** A row of `keyturn.audit_checkpoints`, as HTTP gives it. */
export interface SignedHead extends HistoryHead {
  readonly signedAt: string;
  readonly signedBy: string;
  readonly jws: string;
}

interface KeyEventRow {
  readonly seq: string;
  readonly at: Date;
  readonly version: number;
  readonly kid: string;
  readonly event: string;
  readonly what: string;
  readonly who: string;
  readonly reason: string | null;
  readonly request_id: string | null;
}

interface VerdictRow {
  readonly ok: boolean;
  readonly checked: string;
  readonly head_seq: string | null;
  readonly head_hash: string | null;
  readonly keys: string;
  readonly users: string;
  readonly checkpoints: string;
  readonly problem: string | null;
  readonly seq: string | null;
  readonly version: number | null;
  readonly user_id: string | null;
}

interface CheckpointRow {
  readonly seq: string;
  readonly hash: string;
  readonly signed_at: Date;
  readonly signed_by: string;
  readonly jws: string;
}

/** How long a verification may take: a million events and more. */
const VERIFICATION_BOUND_MS = 300_000;

/** Reads history through the views that the auditor has, and adds checkpoints. */
@Injectable()
export class HistoryStore {
  private verifying = false;

  constructor(private readonly dataSource: DataSource) {}

  /** Key events after `after`, oldest first. @throws KeyturnError `database_unavailable` */
  async keyEvents(after: number, limit: number): Promise<KeyEvent[]> {
    // The view is in order; to ask for it once more would keep the planner from stopping at the limit.
    const rows = await this.ask<KeyEventRow>(
      `SELECT seq, at, version, kid, event, what, who, reason, request_id FROM audit.key_history WHERE seq > $1 LIMIT $2`,
      [after, limit],
    );
    return rows.map(({ seq, at, request_id: requestId, ...rest }) => ({
      seq: Number(seq),
      at: at.toISOString(),
      ...rest,
      requestId,
    }));
  }

  /**
   * Proves the whole history. It may take minutes, so there is one verification at a time, on a connection of its own.
   * @throws KeyturnError `busy` while another one is under way, `database_unavailable`
   */
  async verify(): Promise<HistoryVerdict> {
    if (this.verifying)
      throw new KeyturnError('busy', 'The history is being verified already. Please try again in a moment.', {
        retryAfter: 5,
      });
    this.verifying = true;
    try {
      return await this.verifyNow();
    } finally {
      this.verifying = false;
    }
  }

  private async verifyNow(): Promise<HistoryVerdict> {
    const [row] = await readAtLength<VerdictRow>(
      this.dataSource,
      'SELECT * FROM audit.verify_history()',
      VERIFICATION_BOUND_MS,
    );
    if (!row) throw new Error('audit.verify_history returned no row');
    const { head_seq: headSeq, head_hash: hash } = row;
    return {
      ok: row.ok,
      checked: {
        events: Number(row.checked),
        keys: Number(row.keys),
        users: Number(row.users),
        checkpoints: Number(row.checkpoints),
      },
      head: headSeq === null || hash === null ? null : { seq: Number(headSeq), hash },
      problem: row.problem,
      seq: row.seq === null ? null : Number(row.seq),
      version: row.version,
      userId: row.user_id,
    };
  }

  /** @returns undefined while there is no event. @throws KeyturnError `database_unavailable` */
  async head(): Promise<HistoryHead | undefined> {
    const [row] = await this.ask<{ seq: string; hash: string }>(
      'SELECT seq, hash FROM audit.chain ORDER BY seq DESC LIMIT 1',
    );
    return row && { seq: Number(row.seq), hash: row.hash };
  }

  /** @returns undefined while there is none. @throws KeyturnError `database_unavailable` */
  async newestCheckpoint(): Promise<SignedHead | undefined> {
    const [row] = await this.ask<CheckpointRow>(
      'SELECT seq, hash, signed_at, signed_by, jws FROM audit.checkpoints ORDER BY seq DESC LIMIT 1',
    );
    return (
      row && {
        seq: Number(row.seq),
        hash: row.hash,
        signedAt: row.signed_at.toISOString(),
        signedBy: row.signed_by,
        jws: row.jws,
      }
    );
  }

  /**
   * The oldest checkpoint, of those from row `since` on, whose row is not in the history as it was signed; undefined when all are.
   * @throws KeyturnError `database_unavailable`
   */
  async lostCheckpoint(since: number): Promise<HistoryHead | undefined> {
    const [row] = await this.ask<{ seq: string; hash: string }>(
      `SELECT seq, hash FROM audit.checkpoints signed WHERE seq >= $1
         AND NOT EXISTS (SELECT FROM audit.chain WHERE seq = signed.seq AND hash = signed.hash) ORDER BY seq LIMIT 1`,
      [since],
    );
    return row && { seq: Number(row.seq), hash: row.hash };
  }

  /** Of servers that sign the same head one is first; the others change nothing. @throws KeyturnError `database_unavailable` */
  async addCheckpoint(jws: string): Promise<void> {
    await this.ask(
      'INSERT INTO keyturn.audit_checkpoints (jws) VALUES ($1) ON CONFLICT ON CONSTRAINT pk_audit_checkpoints DO NOTHING',
      [jws],
    );
  }

  private async ask<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      return await this.dataSource.query<Row[]>(sql, [...values]);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}
