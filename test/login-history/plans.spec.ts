import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { only } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addUser } from '../support/users.js';

let database: TestDatabase;
let auditor: Client;
let month: string;
beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await database.connect('superuser');
  for (let person = 0; person < 200; person += 1) await addUser(superuser, { username: `person-${person}` });
  // 90,000 events over this month and the next two: ten million would take the same way.
  await superuser.query(
    `INSERT INTO keyturn.login_events (at, outcome, user_id, username_tried, address)
     SELECT date_trunc('month', now(), 'UTC') + n * interval '85 seconds', 'wrong_password',
       (array(SELECT id FROM keyturn.users ORDER BY id))[1 + n % 200], 'somebody', '198.51.100.0'::inet + n % 250
     FROM generate_series(0, 89999) n`,
  );
  await superuser.query('ANALYZE keyturn.login_events, keyturn.users');
  ({ month } = only(
    await superuser.query<{ month: string }>(
      `SELECT to_char(date_trunc('month', now(), 'UTC') + interval '1 month', 'YYYY-MM') AS month`,
    ),
  ));
  auditor = await database.connect('auditor');
});
afterAll(async () => await database.drop());

/** How the query ran; every scan of a table that it took, without those that were never begun. */
async function plan(query: string): Promise<{ scans: string[]; text: string }> {
  const { rows } = await auditor.query<{ 'QUERY PLAN': string }>(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${query}`);
  const lines = rows.map((row) => row['QUERY PLAN']);
  const scans = lines.filter((line) => / on \w+/.test(line) && !line.includes('never executed'));
  return { scans, text: lines.join('\n') };
}

const isPerson17 = `user_id = (SELECT id FROM audit.users WHERE lower(username) = lower('Person-17'))`;
const second = (): string => `login_events_${month.replace('-', '_')}`;
const partitionsIn = (lines: readonly string[]): string[] => [
  ...new Set(lines.flatMap((line) => / on (login_events_(?:\d{4}_\d\d|default))\b(?!_)/.exec(line)?.[1] ?? [])),
];

describe('a question to the login history', () => {
  it('by time reads the months it asks for, by index, newest first and no further than it must', async () => {
    const { scans, text } = await plan(
      `SELECT * FROM audit.login_history WHERE at >= '${month}-10' AND at < '${month}-11' ORDER BY at DESC LIMIT 50`,
    );
    expect(partitionsIn(scans)).toEqual([second()]);
    expect(text).toMatch(new RegExp(`Index Scan Backward using ${second()}_pkey`));
    expect(text).not.toContain('Seq Scan on login_events');
  });

  it('about the last hours prunes by the clock of the question', async () => {
    const { text } = await plan(
      `SELECT * FROM audit.login_history WHERE at > now() - interval '7 days' AND at <= now()`,
    );
    expect(text).not.toContain(second());
  });

  it('about one person reads their logins alone, newest first, however rare they are', async () => {
    const { scans, text } = await plan(
      `SELECT * FROM audit.login_history WHERE ${isPerson17} ORDER BY at DESC LIMIT 20`,
    );
    expect(text).toContain(`Index Scan Backward using ${second()}_user_id_at_idx`);
    expect(scans.filter((line) => line.includes('Seq Scan on login_events'))).toEqual([]);
    expect(text).not.toContain('Sort Method');
  });

  it('about one person in one month reads one partition', async () => {
    const { scans, text } = await plan(
      `SELECT * FROM audit.login_history WHERE ${isPerson17} AND at >= '${month}-01' AND at < '${month}-20'`,
    );
    expect(partitionsIn(scans)).toEqual([second()]);
    expect(text).toContain(`${second()}_user_id_at_idx`);
  });

  it('about an address reads what came from there alone', async () => {
    const { text } = await plan(`SELECT * FROM audit.login_history WHERE address = '198.51.100.7' ORDER BY at`);
    expect(text).toContain('_address_at_idx');
    expect(text).not.toContain('Seq Scan on login_events_2');
  });
});
