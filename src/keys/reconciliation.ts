import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { inChange, SYSTEM, type Actor } from '../database/change.js';

/** What a reconciliation revoked, ended and voided. */
export interface Reconciled {
  readonly keys: number;
  readonly sessions: number;
  readonly codes: number;
}

/**
 * An older copy of the database was restored: what was revoked, ended or spent after it was made is not known any more. So that none of
 * it revives, every living key is revoked, every session ended and every one-time code voided; a running server then makes new keys.
 */
@Injectable()
export class Reconciliation {
  private readonly logger = new Logger('Reconciliation');

  constructor(private readonly dataSource: DataSource) {}

  /**
   * What a person asks for. Without `reason` in the actor history says that a copy was restored.
   * @param keep the caller knows that nothing was lost: only history is told
   * @throws KeyturnError `database_unavailable`
   */
  run(actor: Actor, keep: boolean): Promise<Reconciled> {
    return inChange(this.dataSource, actor, (manager) => reconcile(manager, actor.reason, keep, null));
  }

  /**
   * What a server does that finds an older copy: once, however many find it.
   * @param since when history was last as this server knew it, in milliseconds since 1970
   * @throws KeyturnError `database_unavailable`
   */
  async unlessDone(since: number): Promise<void> {
    const { done, keys, sessions, codes } = await inChange(this.dataSource, SYSTEM, (manager) =>
      reconcile(manager, undefined, false, new Date(since)),
    );
    if (!done) return;
    this.logger.error(
      `an older copy of the database was restored: ${keys} keys revoked, ${sessions} sessions ended, ${codes} codes voided. Users are as they were in it: see docs/dba.md`,
    );
  }
}

async function reconcile(
  manager: EntityManager,
  reason = 'an older copy of the database was restored',
  keep: boolean,
  unlessSince: Date | null,
): Promise<Reconciled & { readonly done: boolean }> {
  const [row] = await manager.query<{ done: boolean; keys: string; sessions: string; codes: string }[]>(
    'SELECT * FROM keyturn.reconcile($1, $2, $3)',
    [reason, keep, unlessSince],
  );
  if (!row) throw new Error('keyturn.reconcile returned no row');
  return { done: row.done, keys: Number(row.keys), sessions: Number(row.sessions), codes: Number(row.codes) };
}
