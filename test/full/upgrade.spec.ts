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

/** Keys and a history of them, partly by hand. */
async function beginRing(app: Client, owner: Client): Promise<void> {
  await bootstrapKey(app);
  await publishKey(app);
  await owner.query(
    `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'found in a log' WHERE version = 1`,
  );
  await publishKey(app);
}

/** A user, a session, and an event of a user and of a key by hand. */
async function live(app: Client, owner: Client, username: string): Promise<void> {
  const { id } = await addUser(app, { username, roles: ['admin'] });
  await addSession(app, id);
  await owner.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE id = $1`, [id]);
  await owner.query(
    `UPDATE keyturn.signing_keys SET activates_at = activates_at + interval '1 minute' WHERE activates_at > now() AND revoked_at IS NULL`,
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
  let client: Client;
  let app: Client;
  let owner: Client;
  beforeEach(async () => {
    await migrateTo(withHistory);
    client = await database.connect('superuser');
    app = await database.connect('app');
    owner = await database.connect('owner');
    await beginRing(app, owner);
    await live(app, owner, 'anna@example.com');
  });

  async function expectWhole(): Promise<void> {
    const committed = readFileSync(new URL('../database/schema.sql', import.meta.url), 'utf8').replace(
      /^(--.*\n)+\n/,
      '',
    );
    expect(inEveryVersion(await schemaDump(client))).toBe(inEveryVersion(committed));
    // A migration that rewrote keyturn.incarnation would make the next server revoke every key.
    expect((await client.query('SELECT keyturn.is_restored() AS restored')).rows).toEqual([{ restored: false }]);
    expect(await sqlFinding(await database.connect('auditor'))).toBeUndefined();
  }

  it('from the first that has a history, at once, leaves what lives there, and its history goes on where it was', async () => {
    const before = await stored(client);
    await migrate(database.urls.migrator);
    expect(await stored(client)).toEqual(before);
    await live(app, owner, 'Bob');
    await expectWhole();
  });

  it('from each to the next leaves what lives there, also what came in each version before', async () => {
    for (let count = withHistory + 1; count <= migrations.length; count += 1) {
      const before = await stored(client);
      await migrateTo(count);
      const { name } = migrations[count - 1] ?? {};
      expect({ name, stored: await stored(client) }).toEqual({ name, stored: before });
      await live(app, owner, `came-${count}`);
    }
    await expectWhole();
  });
});
