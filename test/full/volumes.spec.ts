import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { behindTheTriggers, sqlFinding } from '../audit/story.js';
import { manyRows, readThrough, userId } from '../audit/volumes.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { say } from './support/load.js';

/** `KEYTURN_VOLUMES=full` is what docs/dba.md has figures of; it takes a quarter of an hour, and 5 GB. */
const FULL = process.env['KEYTURN_VOLUMES'] === 'full';
const volumes = { keys: 1_000, keyEvents: 20_000, users: 10_000, userEvents: 0 };
/** Users, with those who come after the history was proven, and are not in it. */
const users = FULL ? 1_000_000 : 20_000;
const logins = FULL ? 10_000_000 : 100_000;
const MONTHS = 13;
const somebody = volumes.users / 2;

jest.setTimeout(FULL ? 3_600_000 : 120_000);

let database: TestDatabase;
let auditor: Client;
let superuser: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  await timed(`${volumes.keys} keys, ${volumes.keyEvents} events of theirs and ${volumes.users} users`, () =>
    behindTheTriggers(superuser, manyRows(volumes)),
  );
  // What both verifications say of as long a history: audit-volumes.spec.ts.
  expect(await sqlFinding(superuser)).toBeUndefined();
  await timed(`${users - volumes.users} more users`, () =>
    behindTheTriggers(
      superuser,
      `INSERT INTO keyturn.users (id, username) SELECT ${userId('n')}, 'user' || n FROM generate_series(${volumes.users + 1}, ${users}) n`,
    ),
  );
  await timed(`${logins} logins over ${MONTHS} months`, fillLogins);
  await timed('vacuum and analyze', () => superuser.query('VACUUM ANALYZE'));
  auditor = await database.connect('auditor');
  await auditor.query('SET statement_timeout = 0');
});
afterAll(async () => {
  if (FULL) {
    const { rows } = await superuser.query<{ size: string }>(
      'SELECT pg_size_pretty(pg_database_size(current_database())) AS size',
    );
    say(`the database: ${rows[0]?.size}`);
  }
  await database.drop();
});

/** Of every tenth login the password was wrong; every thousandth came from the one address. */
async function fillLogins(): Promise<void> {
  // One login a month has the months made; the rest goes to where it belongs at once.
  await superuser.query(
    `INSERT INTO keyturn.login_events (at, outcome, username_tried)
     SELECT now() - n * interval '30 days', 'unknown_user', 'nobody' FROM generate_series(0, ${MONTHS}) n`,
  );
  await superuser.query(`SELECT keyturn.keep_login_partitions(interval '9600 hours')`);
  await superuser.query(
    `INSERT INTO keyturn.login_events (at, outcome, user_id, session_id, username_tried, address, user_agent)
     SELECT now() - n / ${logins}.0 * interval '${MONTHS * 30} days',
       CASE WHEN n % 10 = 0 THEN 'wrong_password' ELSE 'success' END,
       ${userId(`(n::bigint * 7919) % ${users} + 1`)},
       CASE WHEN n % 10 = 0 THEN NULL ELSE gen_random_uuid() END,
       'user' || ((n::bigint * 7919) % ${users} + 1),
       CASE WHEN n % 1000 = 0 THEN inet '203.0.113.7' ELSE inet '10.0.0.0' + n % 65536 END,
       'Mozilla/5.0 (X11; Linux x86_64) of the test'
     FROM generate_series(1, ${logins}) n`,
  );
}

/** Says how long it took: a figure for people, asserted by nobody. */
async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const from = performance.now();
  const result = await work();
  say(`${what}: ${(performance.now() - from).toFixed(1)} ms`);
  return result;
}

const bySomebody = `user_id = ${userId(String(somebody))}`;

describe(`${users} users, ${volumes.keys + volumes.keyEvents} events of keys and ${logins} logins`, () => {
  it.each([
    `SELECT * FROM audit.keys_valid_at(now())`,
    `SELECT * FROM audit.keys_valid_at(now() - interval '5 years')`,
    `SELECT * FROM audit.key_for('7-AAAAAAAA', now())`,
    `SELECT * FROM audit.key_schedule`,
    `SELECT * FROM audit.key_history LIMIT 100`,
    `SELECT * FROM audit.key_history WHERE version = 7`,
    `SELECT * FROM audit.key_timeline WHERE version = 7`,
    `SELECT * FROM audit.user_history WHERE lower(username) = lower('User${somebody}')`,
    `SELECT * FROM audit.user_history LIMIT 100`,
    `SELECT * FROM audit.actions_by('User7')`,
    `SELECT seq, hash FROM audit.chain ORDER BY seq DESC LIMIT 1`,
    `SELECT * FROM audit.login_history WHERE at > now() - interval '7 days' ORDER BY at DESC LIMIT 50`,
    `SELECT * FROM audit.login_history WHERE at > now() - interval '1 hour' AND outcome <> 'success'`,
    `SELECT * FROM audit.login_history WHERE ${bySomebody} ORDER BY at DESC LIMIT 20`,
    `SELECT * FROM audit.login_history WHERE address = '203.0.113.7' ORDER BY at DESC LIMIT 20`,
  ])('are answered from by index: %s', async (sql) => {
    const tables = await readThrough(auditor, sql);
    for (const _ of [1, 2, 3]) await timed(sql, () => auditor.query(sql));
    // What is read from end to end is small: partitions of the months to come.
    const { rows } = await superuser.query<{ relname: string }>(
      `SELECT relname FROM pg_class WHERE relname = ANY ($1) AND reltuples > 1000`,
      [tables],
    );
    expect(rows).toEqual([]);
  });

  it('take a refused login as they take the first', async () => {
    const app = await database.connect('app');
    const refusal = `INSERT INTO keyturn.login_events (outcome, user_id, username_tried)
      SELECT 'wrong_password', id, username FROM keyturn.users WHERE lower(username) = lower('User${somebody}') RETURNING outcome`;
    expect(await readThrough(app, refusal)).toEqual([]);
    for (const _ of [1, 2, 3]) await timed('a refused login', () => app.query(refusal));
  });

  it('are put in order by the daily job, which detaches a month as it is', async () => {
    const app = await database.connect('app');
    const { rows } = await timed('keep_login_partitions', () =>
      app.query<{ what: string }>(`SELECT partition, what FROM keyturn.keep_login_partitions(interval '8000 hours')`),
    );
    expect(new Set(rows.map((row) => row.what))).toEqual(new Set(['detached']));
  });
});
