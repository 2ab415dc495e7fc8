import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { migrationDataSourceOptions } from './data-source.js';

/** 'keym' in ASCII: servers that start together migrate one after the other. */
const MIGRATION_LOCK = 1801812333;

export interface MigrationOutcome {
  /** Names of those applied now, oldest first. */
  readonly applied: readonly string[];
  /** How many this version of Keyturn knows. */
  readonly known: number;
}

/** Applies pending migrations under a lock, each in a transaction of its own. */
export async function migrate(url: string): Promise<MigrationOutcome> {
  const lock = new pg.Client({
    connectionString: url,
    application_name: 'keyturn migrate (lock)',
    connectionTimeoutMillis: 10_000,
    // A transaction pooler refuses this: it would keep the lock, which is the session's, for whoever comes next.
    options: '-c lock_timeout=120s',
  });
  lock.on('error', () => undefined);
  try {
    await lock.connect();
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const dataSource = await new DataSource(migrationDataSourceOptions(url, migrations)).initialize();
    try {
      const applied = await dataSource.runMigrations();
      return { applied: applied.map((migration) => migration.name), known: migrations.length };
    } finally {
      await dataSource.destroy();
    }
  } finally {
    await lock.end();
  }
}

/** Migrations of this version that the database has not seen, asked with the server's own rights; undefined: it may not look. */
export async function pendingMigrations(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM keyturn.migrations');
  const applied = new Set(rows.map((row) => row.name));
  return migrations.map((migration) => migration.name).filter((name) => !applied.has(name));
}
