import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { migrationDataSourceOptions } from '../../src/database/data-source.js';
import { migrate, pendingMigrations } from '../../src/database/migrate.js';
import { catalogue } from '../support/catalogue.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';

const known = migrations.map((migration) => migration.name);

async function on(url: string, all: typeof migrations, work: (source: DataSource) => Promise<unknown>): Promise<void> {
  const dataSource = await new DataSource(migrationDataSourceOptions(url, all)).initialize();
  try {
    await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

/** Undoes the newest `count` migrations. */
const undo = async (url: string, count: number): Promise<void> =>
  await on(url, migrations, async (source) => {
    for (let undone = 0; undone < count; undone += 1) await source.undoLastMigration();
  });

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

  it('can be undone one by one, each to where the one before had left it, and be made again', async () => {
    const client = await database.connect('superuser');
    const left = [await catalogue(client)];
    for (let count = 1; count <= known.length; count += 1) {
      await on(database.urls.migrator, migrations.slice(0, count), (source) => source.runMigrations());
      left.push(await catalogue(client));
    }
    for (const before of left.slice(0, -1).toReversed()) {
      await undo(database.urls.migrator, 1);
      expect(await catalogue(client)).toEqual(before);
    }
    await migrate(database.urls.migrator);
    expect(await catalogue(client)).toEqual(left.at(-1));
  });

  it('are each applied once when twenty processes start together', async () => {
    const outcomes = await Promise.all(Array.from({ length: 20 }, async () => await migrate(database.urls.migrator)));
    const client = await database.connect('superuser');
    const { rows } = await client.query<{ name: string }>('SELECT name FROM keyturn.migrations ORDER BY id');
    expect([outcomes.flatMap((outcome) => outcome.applied), rows.map((row) => row.name)]).toEqual([known, known]);
  });
});
