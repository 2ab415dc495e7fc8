import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { only } from '../support/signing-keys.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addUser } from '../support/users.js';

const SESSIONS = 50_000;

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database });
  const { id } = await addUser(superuser);
  await superuser.query('SET session_replication_role = replica');
  await superuser.query(
    `INSERT INTO keyturn.sessions (user_id, idle_expires_at, expires_at, refresh_hash)
     SELECT $1, t + interval '1 day', t + interval '1 day', sha256('any') FROM keyturn.clock() t, generate_series(1, ${SESSIONS})`,
    [id],
  );
}, 120_000);
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** How many rows of sessions each transaction wrote. */
const versionsOfRows = async (): Promise<unknown> =>
  (await superuser.query('SELECT xmin::text, count(*) FROM keyturn.sessions GROUP BY xmin::text ORDER BY 1')).rows;

it(`a copy with ${SESSIONS} sessions is reconciled without writing one of their rows`, async () => {
  await server.createUser({ username: 'anna' });
  const { access_token: token, refresh_token: refreshToken } = await server.login('anna');
  await server.hearNews();
  // What pg_restore does to this row: the same values, written by another transaction.
  await superuser.query('UPDATE keyturn.incarnation SET reason = reason');

  const before = await versionsOfRows();
  await server.hearNews();
  await server.hearNews();

  expect(await versionsOfRows()).toEqual(before);
  expect((await server.ask('/auth/me', { token })).status).toBe(401);
  expect((await server.refresh(refreshToken)).status).toBe(400);
  await server.login('anna');
  const { reconciled } = only(
    await superuser.query<{ reconciled: number }>(
      `SELECT count(*)::integer AS reconciled FROM keyturn.audit_log WHERE event = 'reconciled'`,
    ),
  );
  expect(reconciled).toBe(1);
}, 120_000);
