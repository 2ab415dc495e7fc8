import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { migrationDataSourceOptions } from '../../src/database/data-source.js';
import { migrate } from '../../src/database/migrate.js';
import { inEveryVersion, schemaDump } from '../support/schema-dump.js';
import { only } from '../support/signing-keys.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';

const file = fileURLToPath(new URL('schema.sql', import.meta.url));
/** The version that Keyturn embeds. Others spell the bodies of views, and of functions that are parsed, in their own way. */
const SPELLED_BY = 18;
const ABOUT = `-- What the migrations make, to be read and compared, not to be run. As PostgreSQL ${SPELLED_BY} spells it.
-- Written by: UPDATE_SCHEMA=1 npm run jest -- schema-dump

`;

describe('test/database/schema.sql (UPDATE_SCHEMA=1 npm run jest -- schema-dump writes it anew)', () => {
  let database: TestDatabase;
  let client: Client;
  beforeEach(async () => {
    database = await createEmptyDatabase();
    client = await database.connect('superuser');
  });
  afterEach(async () => await database.drop());

  const version = async (): Promise<number> => {
    const { number } = only(
      await client.query<{ number: string }>(`SELECT current_setting('server_version_num') AS number`),
    );
    return Math.floor(Number(number) / 10_000);
  };
  const committed = (): string => readFileSync(file, 'utf8');
  const spelled = async (): Promise<(dump: string) => string> =>
    (await version()) === SPELLED_BY ? (dump) => dump : inEveryVersion;

  it('is what the migrations make', async () => {
    await migrate(database.urls.migrator);
    const made = ABOUT + (await schemaDump(client));
    if (process.env['UPDATE_SCHEMA'] === '1') {
      if ((await version()) !== SPELLED_BY) throw new Error(`only PostgreSQL ${SPELLED_BY} writes schema.sql`);
      writeFileSync(file, made);
    }
    const as = await spelled();
    expect(as(made)).toBe(as(committed()));
  });

  it('is what they make again after each was undone', async () => {
    await migrate(database.urls.migrator);
    const dataSource = await new DataSource(
      migrationDataSourceOptions(database.urls.migrator, migrations),
    ).initialize();
    try {
      for (const _ of migrations) await dataSource.undoLastMigration();
    } finally {
      await dataSource.destroy();
    }
    expect(await schemaDump(client)).not.toContain('-- ## view');
    await migrate(database.urls.migrator);
    const as = await spelled();
    expect(as(ABOUT + (await schemaDump(client)))).toBe(as(committed()));
  });

  it('has all that the catalogue has of tables, columns, functions and views', async () => {
    await migrate(database.urls.migrator);
    const { rows } = await client.query<{ name: string }>(
      `SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || oid::regclass AS name FROM pg_class
       WHERE relnamespace IN ('keyturn'::regnamespace, 'audit'::regnamespace) AND relkind IN ('r', 'p', 'v', 'm', 'f')
         AND relname !~ '^login_events_\\d'
       UNION ALL
       SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace IN ('keyturn'::regnamespace, 'audit'::regnamespace)`,
    );
    const headings = [...committed().matchAll(/^-- ## ((?:view|table|function) .*)$/gm)].map(
      ([, heading]) => heading ?? '',
    );
    expect(headings.sort()).toEqual(rows.map(({ name }) => name.replaceAll('pg_catalog.', '')).sort());
  });
});
