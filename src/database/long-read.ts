import type { DataSource } from 'typeorm';
import { SteadyClient } from './steady-client.js';
import { asKeyturnError } from './unavailable.js';

/**
 * One statement that only reads and may take longer than DATABASE_TIMEOUT, on a connection of its own: the pool's stay free for everybody
 * else, and through any pooler the bound is that of this transaction alone.
 * @param bound milliseconds, for the statement
 * @throws KeyturnError `database_unavailable`, also when the bound is over
 */
export async function readAtLength<Row extends object>(
  { options }: DataSource,
  sql: string,
  bound: number,
): Promise<Row[]> {
  if (options.type !== 'postgres') throw new Error('the database is no Postgres');
  const client = new SteadyClient({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMS,
    query_timeout: bound + 500,
    keepAlive: true,
  });
  try {
    await client.connect();
    await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${bound}; SET LOCAL lock_timeout = ${bound}`);
    const { rows } = await client.query<Row>(sql);
    await client.query('COMMIT');
    return rows;
  } catch (error) {
    throw asKeyturnError(error, `${bound / 1_000} seconds`);
  } finally {
    await client.end().catch(() => undefined);
  }
}
