import type { DataSourceOptions } from 'typeorm';
import type { Config } from '../config/config.js';
import { SteadyClient } from './steady-client.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** What every connection of ours has in common, whoever connects and wherefore. */
const common = (url: string, applicationName: string) =>
  ({
    type: 'postgres',
    url,
    schema: 'keyturn',
    applicationName,
    synchronize: false,
    migrationsRun: false,
    installExtensions: false,
    logging: false,
    poolErrorHandler: () => undefined,
  }) as const satisfies Partial<PostgresOptions>;

/**
 * The server's connections. Every wait has an end: to connect, for the answer (client side), for the statement, a lock, and
 * an idle transaction (server side; a transaction pooler refuses those as start-up parameters, there the role sets them).
 */
export function serverDataSourceOptions(
  url: string,
  database: Config['database'],
  applicationName: string,
): PostgresOptions {
  const { timeout, poolSize, pooler } = database;
  const onTheServer = {
    statement_timeout: timeout,
    lock_timeout: timeout,
    idle_in_transaction_session_timeout: timeout * 2,
  };
  return {
    ...common(url, applicationName),
    poolSize,
    connectTimeoutMS: timeout,
    extra: {
      Client: SteadyClient,
      query_timeout: timeout + 500,
      keepAlive: true,
      ...(pooler === 'none' ? onTheServer : {}),
    },
  };
}

/** The migrations' one connection, which becomes `keyturn_owner` so that whatever it makes belongs to that role. */
export function migrationDataSourceOptions(
  url: string,
  migrations: PostgresOptions['migrations'] & {},
): PostgresOptions {
  return {
    ...common(url, 'keyturn migrate'),
    poolSize: 2,
    connectTimeoutMS: 10_000,
    migrations,
    migrationsTableName: 'migrations',
    migrationsTransactionMode: 'each',
    extra: {
      Client: SteadyClient,
      options: '-c role=keyturn_owner -c lock_timeout=10s -c statement_timeout=300s',
    },
  };
}
