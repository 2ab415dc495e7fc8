import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { behindTheTriggers, ownFinding, sqlFinding } from '../audit/story.js';
import { manyRows, readThrough } from '../audit/volumes.js';

let database: TestDatabase;
let auditor: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await database.connect('superuser');
  await behindTheTriggers(superuser, manyRows({ keys: 1_000, keyEvents: 0, users: 1_000, userEvents: 18_000 }));
  await superuser.query('ANALYZE keyturn.signing_keys, keyturn.users, keyturn.audit_log');
  auditor = await database.connect('auditor');
}, 60_000);
afterAll(async () => await database.drop());

describe('1,000 keys and 20,000 events', () => {
  it('are found whole by both verifications', async () => {
    expect([await sqlFinding(auditor), await ownFinding(auditor)]).toEqual([undefined, undefined]);
  }, 60_000);

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
