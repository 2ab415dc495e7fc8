import pg, { type ClientBase } from 'pg';
import { DataSource } from 'typeorm';
import type { TestApp } from '../../support/test-app.js';

/** Which statement of a server's pool its connection does not live to see. */
const severings = new WeakMap<object, Severing>();
const query: (...asked: unknown[]) => unknown = Reflect.get(pg.Client.prototype, 'query');
// The server's clients take this method when they are made.
Reflect.set(pg.Client.prototype, 'query', function (this: pg.Client, ...asked: unknown[]): unknown {
  const severing = severings.get(this);
  if (!severing?.isDue()) return query.apply(this, asked);
  return severing.end(Reflect.get(this, 'processID')).then(() => query.apply(this, asked));
});

/** Ends the database's side of a connection between two statements, as a crash does. */
export class Severing {
  private left = -1;

  /** @param superuser a connection that may end others */
  constructor(
    { app }: TestApp,
    private readonly superuser: ClientBase,
  ) {
    const pool: unknown = Reflect.get(app.get(DataSource).driver, 'master');
    if (!(pool instanceof pg.Pool)) throw new Error('the pool of the data source is not where it was');
    pool.on('acquire', (client) => severings.set(client, this));
  }

  /**
   * The connection that asks the n-th statement from now ends before it is heard.
   * @returns the outcome, and whether there was such a statement
   */
  async within<T>(statement: number, work: () => Promise<T>): Promise<[outcome: T, severed: boolean]> {
    this.left = statement;
    try {
      const outcome = await work();
      return [outcome, this.left < 0];
    } finally {
      this.left = -1;
    }
  }

  isDue(): boolean {
    if (this.left < 0) return false;
    this.left -= 1;
    return this.left < 0;
  }

  async end(backend: unknown): Promise<void> {
    await this.superuser.query('SELECT pg_terminate_backend($1, 5000)', [backend]);
  }
}
