import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { SessionRetention } from '../../src/auth/session/session-retention.js';
import { day, only } from '../support/signing-keys.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';

let database: TestDatabase;
let app: Client;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  server = await startTestApp({ database, settings: { SESSION_KEEP: '10d', SESSION_MAX_AGE: '20d' } });
  await server.createUser({ username: 'anna' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const rows = async (): Promise<readonly string[]> =>
  (await app.query<{ id: string }>('SELECT id FROM keyturn.sessions ORDER BY created_at')).rows.map(({ id }) => id);
const codes = async (): Promise<number> =>
  only(await app.query<{ count: number }>('SELECT count(*)::integer FROM keyturn.one_time_codes')).count;

it('rows of sessions and codes go when their time was over for so long, and not before', async () => {
  const [ended, lasting] = [await server.login('anna'), await server.login('anna')];
  const idOf = ({ access_token: token }: typeof ended) => String(readToken(token).claims['sid']);
  await server.ask('/auth/logout', { method: 'POST', token: ended.access_token });
  await app.query(
    `INSERT INTO keyturn.one_time_codes (code_hash, purpose, expires_at) VALUES (sha256('any'), 'setup', keyturn.clock() + interval '1 hour')`,
  );
  const retention = server.app.get(SessionRetention);

  await database.moveClock(9 * day);
  await retention.everyDay();
  expect([await rows(), await codes()]).toEqual([[idOf(ended), idOf(lasting)], 1]);

  await database.moveClock(2 * day);
  await retention.everyDay();
  expect([await rows(), await codes()]).toEqual([[idOf(lasting)], 0]);
  expect(await server.refresh(ended.refresh_token)).toMatchObject({ status: 400, body: { code: 'invalid_grant' } });

  await database.moveClock(20 * day);
  await retention.everyDay();
  expect(await rows()).toEqual([]);
  expect(server.log.filter((line) => line.startsWith('error'))).toEqual([]);
});

it('a session that is ended long after it was over goes with the others, and keeps none of them', async () => {
  const expired = await server.login('anna');
  await database.moveClock(40 * day);
  await server.login('anna');
  const { access_token: token } = await server.login('anna');
  expect(await rows()).toHaveLength(3);
  await server.ask('/auth/logout-all', { method: 'POST', token });

  await server.app.get(SessionRetention).everyDay();

  expect(await rows()).toHaveLength(2);
  expect(await server.refresh(expired.refresh_token)).toMatchObject({ status: 400 });
  expect(server.log.filter((line) => line.startsWith('error'))).toEqual([]);
});
