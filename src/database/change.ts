import type { DataSource, EntityManager } from 'typeorm';
import { asKeyturnError } from './unavailable.js';

/** On whose behalf something is changed: what history writes down beside the proven database user. */
export interface Actor {
  /** Id of the user who asked. Absent: the server itself, or a person at the command line. */
  readonly userId?: string | undefined;
  readonly reason?: string | undefined;
  readonly requestId?: string | undefined;
}

/** The server itself. */
export const SYSTEM: Actor = {};

/**
 * One change of keys, users or history: takes the lock, names the actor, and hands over the instant at which all of it happens
 * (milliseconds since 1970). Whatever is read through `manager` was committed before.
 * @throws KeyturnError `database_unavailable`
 */
export async function inChange<T>(
  dataSource: DataSource,
  actor: Actor,
  work: (manager: EntityManager, now: number) => Promise<T>,
): Promise<T> {
  try {
    return await dataSource.transaction(async (manager) => {
      const [row] = await manager.query<{ now: Date }[]>(
        `SELECT set_config('keyturn.actor', $1, true), set_config('keyturn.reason', $2, true),
                set_config('keyturn.request_id', $3, true), keyturn.begin_change() AS now`,
        [actor.userId ?? '', actor.reason ?? '', actor.requestId ?? ''],
      );
      if (!row) throw new Error('begin_change returned no row');
      return work(manager, row.now.getTime());
    });
  } catch (error) {
    throw asKeyturnError(error);
  }
}
