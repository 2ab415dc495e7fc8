import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { inChange, SYSTEM, type Actor } from '../../database/change.js';

/**
 * An older copy of the database was restored: what was revoked, ended or spent after it was made is not known any more. So that none of
 * it revives, every living key is revoked, every session ended and every one-time code voided; a running server then makes new keys.
 */
@Injectable()
export class Reconciliation {
  private readonly logger = new Logger('Reconciliation');
  /** An older copy was found, and is not reconciled yet: what was revoked since may still verify. */
  pending = false;

  constructor(private readonly dataSource: DataSource) {}

  /**
   * What a person asks for. Without `reason` in the actor history says that a copy was restored.
   * @param keep the caller knows that nothing was lost: only history is told
   * @returns how many keys were revoked
   * @throws KeyturnError `database_unavailable`
   */
  async run(actor: Actor, keep: boolean): Promise<number> {
    const { keys } = await inChange(this.dataSource, actor, (manager) => reconcile(manager, actor.reason, keep, null));
    return keys;
  }

  /**
   * What a server does at each news: reconciles an older copy, once, however many find it.
   * @param restored is it an older copy?
   * @param heard the incarnation that this server knew before; 0: none
   * @throws KeyturnError `database_unavailable`
   */
  async follow(restored: boolean, heard: number): Promise<void> {
    this.pending = restored;
    if (!restored) return;
    const { done, keys } = await inChange(this.dataSource, SYSTEM, (manager) =>
      reconcile(manager, undefined, false, heard),
    );
    this.pending = false;
    if (!done) return;
    this.logger.error(
      `an older copy of the database was restored: ${keys} keys revoked, every session ended, every code voided. Users are as they were in it: see docs/dba.md`,
    );
  }
}

async function reconcile(
  manager: EntityManager,
  reason = 'an older copy of the database was restored',
  keep: boolean,
  heard: number | null,
): Promise<{ readonly done: boolean; readonly keys: number }> {
  const [row] = await manager.query<{ done: boolean; keys: string }[]>('SELECT * FROM keyturn.reconcile($1, $2, $3)', [
    reason,
    keep,
    heard,
  ]);
  if (!row) throw new Error('keyturn.reconcile returned no row');
  return { done: row.done, keys: Number(row.keys) };
}
