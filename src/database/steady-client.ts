import pg from 'pg';

/**
 * A client for a pool that must survive its database.
 * - A lost connection is an error of the query under way, never of the process (node-postgres emits it on the client too).
 * - A query that timed out on this side takes its connection with it: on a half-open connection the answer never comes, and the
 *   pool would hand the same dead socket to the next query.
 */
export class SteadyClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    this.on('error', () => undefined);
    const query: (...args: unknown[]) => unknown = this.query.bind(this);
    const steadyQuery = (...args: unknown[]): unknown => {
      const answer = query(...args);
      if (answer instanceof Promise) answer.catch((error: unknown) => this.hangUpAfterTimeout(error));
      return answer;
    };
    Object.defineProperty(this, 'query', { value: steadyQuery });
  }

  private hangUpAfterTimeout(error: unknown): void {
    if (error instanceof Error && error.message === 'Query read timeout') this.connection.stream.destroy();
  }
}
