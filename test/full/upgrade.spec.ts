import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { migrationDataSourceOptions } from '../../src/database/data-source.js';
import { migrate } from '../../src/database/migrate.js';
import { sqlFinding } from '../audit/story.js';
import { inEveryVersion, schemaDump } from '../support/schema-dump.js';
import { bootstrapKey, publishKey } from '../support/signing-keys.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';
import { addSession, addUser } from '../support/users.js';

/** From the one on that begins the history: what lies in an older schema has none. */
const withHistory = migrations.findIndex((migration) => migration.name.startsWith('AuditLog')) + 1;

let database: TestDatabase;
beforeEach(async () => {
  database = await createEmptyDatabase();
});
afterEach(async () => await database.drop());

/** The first `count` migrations, as an older version would have left them. */
async function migrateTo(count: number): Promise<void> {
  const dataSource = await new DataSource(
    migrationDataSourceOptions(database.urls.migrator, migrations.slice(0, count)),
  ).initialize();
  try {
    await dataSource.runMigrations();
  } finally {
    await dataSource.destroy();
  }
}

/** Keys, users, a session, and a history of them, partly by hand. */
async function live(app: Client, owner: Client): Promise<void> {
  await bootstrapKey(app);
  await publishKey(app);
  const { id } = await addUser(app, { username: 'anna@example.com', roles: ['admin'] });
  await addSession(app, id);
  await owner.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE id = $1`, [id]);
  await owner.query(
    `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'found in a log' WHERE version = 1`,
  );
}

const stored = async (client: Client): Promise<unknown> =>
  (
    await client.query(`SELECT
      (SELECT jsonb_agg(to_jsonb(l) ORDER BY seq) FROM keyturn.audit_log l) AS history,
      (SELECT jsonb_agg(to_jsonb(k) ORDER BY version) FROM keyturn.signing_keys k) AS keys,
      (SELECT jsonb_agg(sealed ORDER BY version) FROM keyturn.signing_key_secrets) AS sealed,
      (SELECT jsonb_agg(jsonb_build_array(id, username, roles, ver) ORDER BY id) FROM keyturn.users) AS users,
      (SELECT jsonb_agg(jsonb_build_array(id, user_id, expires_at) ORDER BY id) FROM keyturn.sessions) AS sessions`)
  ).rows;

describe('an upgrade', () => {
  const older = migrations
    .slice(withHistory - 1, -1)
    .map((migration, index) => [migration.name, withHistory + index] as const);

  it.each(older)(
    'from %s, with what lives there, comes to the schema of a fresh one and to a whole history',
    async (_, count) => {
      await migrateTo(count);
      const client = await database.connect('superuser');
      await live(await database.connect('app'), await database.connect('owner'));
      const before = await stored(client);

      await migrate(database.urls.migrator);

      const committed = readFileSync(new URL('../database/schema.sql', import.meta.url), 'utf8').replace(
        /^(--.*\n)+\n/,
        '',
      );
      expect(inEveryVersion(await schemaDump(client))).toBe(inEveryVersion(committed));
      expect(await stored(client)).toEqual(before);
      // A migration that rewrote keyturn.incarnation would make the next server revoke every key.
      expect((await client.query('SELECT keyturn.is_restored() AS restored')).rows).toEqual([{ restored: false }]);
      expect(await sqlFinding(await database.connect('auditor'))).toBeUndefined();
    },
  );

  it('goes on with the history where it was', async () => {
    await migrateTo(withHistory);
    const app = await database.connect('app');
    await live(app, await database.connect('owner'));
    await migrate(database.urls.migrator);
    await addUser(app, { username: 'Bob' });
    expect(await sqlFinding(await database.connect('auditor'))).toBeUndefined();
  });
});
