import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { behindTheTriggers, sqlFinding } from '../audit/story.js';
import { manyRows, readThrough } from '../audit/volumes.js';
import { runCli } from './support/keyturn.js';
import { say } from './support/load.js';

/** How long the history is: `KEYTURN_EVENTS=1000000` is the longest that docs/dba.md has figures of. */
const EVENTS = Number(process.env['KEYTURN_EVENTS'] ?? 20_000);
const [keys, users] = [1_000, EVENTS / 10];
const volumes = { keys, keyEvents: EVENTS / 5, users, userEvents: EVENTS - keys - EVENTS / 5 - users };

jest.setTimeout(60_000 + EVENTS);

let database: TestDatabase;
let auditor: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await database.connect('superuser');
  await behindTheTriggers(superuser, manyRows(volumes));
  await superuser.query('ANALYZE keyturn.signing_keys, keyturn.users, keyturn.audit_log');
  auditor = await database.connect('auditor');
  await auditor.query('SET statement_timeout = 0');
});
afterAll(async () => await database.drop());

describe(`1,000 keys and ${EVENTS} events`, () => {
  const timed = async (name: string, work: () => Promise<void>): Promise<void> => {
    const began = performance.now();
    await work();
    say(`${name} of ${EVENTS} events: ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  };

  it('are found whole by audit.verify_history()', async () => {
    await timed('audit.verify_history()', async () => expect(await sqlFinding(auditor)).toBeUndefined());
  });

  it('are found whole by keyturn audit verify', async () => {
    const settings = { DATABASE_URL: database.urls.app, AUDITOR_DATABASE_URL: database.urls.auditor };
    await timed('keyturn audit verify', async () => {
      const { output } = await runCli(['audit', 'verify'], settings, 60_000 + EVENTS);
      expect(output).toMatch(`The history is whole: ${EVENTS} events make ${keys} keys and ${users} users as they are`);
    });
  });

  it.each([
    `SELECT * FROM audit.keys_valid_at(now())`,
    `SELECT * FROM audit.keys_valid_at(now() - interval '5 years')`,
    `SELECT * FROM audit.key_for('7-AAAAAAAA', now())`,
    `SELECT * FROM audit.key_schedule`,
    `SELECT * FROM audit.key_history WHERE seq > 100 LIMIT 100`,
    `SELECT * FROM audit.key_history WHERE version = 7`,
    `SELECT * FROM audit.key_timeline WHERE version = 7`,
    `SELECT * FROM audit.user_history WHERE lower(username) = lower('User7')`,
    `SELECT * FROM audit.user_history WHERE user_id = '00000000-0000-4000-8000-000000000007'`,
    `SELECT * FROM audit.user_history LIMIT 100`,
    `SELECT * FROM audit.actions_by('User7')`,
    `SELECT seq, hash FROM audit.chain ORDER BY seq DESC LIMIT 1`,
  ])('are answered from by index: %s', async (sql) => {
    // A thousand users are so few that reading them all may be cheaper.
    expect((await readThrough(auditor, sql)).filter((table) => table !== 'users')).toEqual([]);
  });
});
