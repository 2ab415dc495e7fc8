import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { migrationDataSourceOptions } from '../../src/database/data-source.js';
import { migrate, pendingMigrations } from '../../src/database/migrate.js';
import { catalogue } from '../support/catalogue.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';

const known = migrations.map((migration) => migration.name);

/** Undoes the newest `count` migrations. */
async function undo(url: string, count: number): Promise<void> {
  const dataSource = await new DataSource(migrationDataSourceOptions(url, migrations)).initialize();
  try {
    for (let undone = 0; undone < count; undone += 1) await dataSource.undoLastMigration();
  } finally {
    await dataSource.destroy();
  }
}

describe('migrations', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createEmptyDatabase();
  });
  afterEach(async () => await database.drop());

  it('apply one after the other to an empty database, and say which', async () => {
    expect(await migrate(database.urls.migrator)).toEqual({ applied: known, known: known.length });
  });

  it('apply nothing a second time', async () => {
    await migrate(database.urls.migrator);
    expect(await migrate(database.urls.migrator)).toEqual({ applied: [], known: known.length });
  });

  it('leave everything they make to keyturn_owner', async () => {
    await migrate(database.urls.migrator);
    const client = await database.connect('superuser');
    const { rows } = await client.query(
      `SELECT relname AS name FROM pg_class WHERE relnamespace IN ('keyturn'::regnamespace, 'audit'::regnamespace)
         AND relowner <> 'keyturn_owner'::regrole
       UNION ALL
       SELECT proname FROM pg_proc WHERE pronamespace IN ('keyturn'::regnamespace, 'audit'::regnamespace)
         AND proowner <> 'keyturn_owner'::regrole`,
    );
    expect(rows).toEqual([]);
  });

  it('are pending, as the server sees it, until they are applied', async () => {
    await migrate(database.urls.migrator);
    await undo(database.urls.migrator, 1);
    const before = await pendingMigrations(await database.connect('app'));
    await migrate(database.urls.migrator);
    expect([before, await pendingMigrations(await database.connect('app'))]).toEqual([known.slice(-1), []]);
  });

  it('can be undone, all of them, and leave the catalogue as it was', async () => {
    const client = await database.connect('superuser');
    const before = await catalogue(client);
    await migrate(database.urls.migrator);
    await undo(database.urls.migrator, known.length);
    expect(await catalogue(client)).toEqual(before);
  });

  it('can be undone one by one, each to where the one before had left it', async () => {
    const client = await database.connect('superuser');
    await migrate(database.urls.migrator);
    const whole = await catalogue(client);
    for (let count = 1; count <= known.length; count += 1) {
      await undo(database.urls.migrator, count);
      await migrate(database.urls.migrator);
      expect(await catalogue(client)).toEqual(whole);
    }
  });

  it('are each applied once when twenty processes start together', async () => {
    const outcomes = await Promise.all(Array.from({ length: 20 }, async () => await migrate(database.urls.migrator)));
    const client = await database.connect('superuser');
    const { rows } = await client.query<{ name: string }>('SELECT name FROM keyturn.migrations ORDER BY id');
    expect([outcomes.flatMap((outcome) => outcome.applied), rows.map((row) => row.name)]).toEqual([known, known]);
  });
});
