import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { LoginRetention } from '../../src/auth/login-history/login-retention.js';
import { insufficientPrivilege, refusal } from '../support/refusal.js';
import { startTestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const day = 24 * 60 * 60_000;

let database: TestDatabase;
let app: Client;
let superuser: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  superuser = await database.connect('superuser');
});
beforeEach(async () => {
  // As on the first day: none but the default, then what a server makes when it starts.
  for (const name of await tables()) {
    if (name !== 'login_events_default') await superuser.query(`DROP TABLE keyturn.${name}`);
  }
  await superuser.query('TRUNCATE keyturn.login_events');
  await setClock('2026-11-15T12:00:00Z');
  await keep();
});
afterAll(async () => await database.drop());

const setClock = async (instant: string): Promise<void> =>
  await database.setClockOffset(Date.parse(instant) - Date.now());

/** What the server's daily job asks for; what was done. */
async function keep(days = 400, client = app): Promise<string[]> {
  const { rows } = await client.query<{ done: string }>(
    `SELECT partition || ' ' || what AS done FROM keyturn.keep_login_partitions(make_interval(secs => $1))`,
    [days * 24 * 60 * 60],
  );
  return rows.map(({ done }) => done);
}

/** Tables of login events, attached or not. */
async function tables(): Promise<string[]> {
  const { rows } = await superuser.query<{ relname: string }>(
    `SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'login\\_events\\_%' ORDER BY relname`,
  );
  return rows.map(({ relname }) => relname);
}

const logIn = (outcome = 'throttled'): Promise<unknown> =>
  app.query('INSERT INTO keyturn.login_events (outcome) VALUES ($1)', [outcome]);

/** Where each event lies. */
async function places(): Promise<string[]> {
  const { rows } = await superuser.query<{ place: string }>(
    'SELECT tableoid::regclass::text AS place FROM keyturn.login_events ORDER BY at',
  );
  return rows.map(({ place }) => place);
}

describe('the partitions of the login history', () => {
  it('are made for this month and the next two', async () => {
    expect(await tables()).toEqual([
      'login_events_2026_11',
      'login_events_2026_12',
      'login_events_2027_01',
      'login_events_default',
    ]);
    expect(await keep()).toEqual([]);
  });

  it('follow the clock, months by UTC', async () => {
    await setClock('2026-11-30T23:59:58Z');
    expect(await keep()).toEqual([]);
    await logIn();
    await setClock('2026-12-01T00:00:01Z');
    await app.query(`SET timezone = 'Asia/Tokyo'`);
    expect(await keep()).toEqual(['login_events_2027_02 created']);
    await app.query('RESET timezone');
    await logIn();
    expect(await places()).toEqual(['keyturn.login_events_2026_11', 'keyturn.login_events_2026_12']);
  });

  it('are detached when their time is over, and dropped thirty days later', async () => {
    await logIn();
    const count = async (): Promise<unknown> =>
      (await superuser.query('SELECT count(*)::integer AS count FROM audit.login_history')).rows;
    await setClock('2027-02-28T12:00:00Z');
    expect(await keep(90)).toEqual([
      'login_events_2027_02 created',
      'login_events_2027_03 created',
      'login_events_2027_04 created',
    ]);
    expect(await count()).toEqual([{ count: 1 }]);

    await setClock('2027-03-01T12:00:00Z');
    expect(await keep(90)).toEqual(['login_events_2027_05 created', 'login_events_2026_11 detached']);
    expect(await count()).toEqual([{ count: 0 }]);
    const { rows } = await superuser.query('SELECT outcome FROM keyturn.login_events_2026_11_detached_2027_03_01');
    expect(rows).toEqual([{ outcome: 'throttled' }]);

    await setClock('2027-03-30T23:59:00Z');
    expect(await keep(90)).toEqual([]);
    await setClock('2027-03-31T00:01:00Z');
    expect(await keep(90)).toEqual(['login_events_2026_11_detached_2027_03_01 dropped']);
    await setClock('2027-04-01T00:00:01Z');
    expect(await keep(90)).toEqual(['login_events_2027_06 created', 'login_events_2026_12 detached']);
  });

  it('take a login even when nobody made one for its month, and then put it where it belongs', async () => {
    await setClock('2027-08-15T12:00:00Z');
    await logIn();
    await setClock('2027-09-15T12:00:00Z');
    await logIn();
    expect(await places()).toEqual(['keyturn.login_events_default', 'keyturn.login_events_default']);

    expect(await keep()).toEqual(
      ['login_events_2027_08', 'login_events_2027_09', 'login_events_2027_10', 'login_events_2027_11'].map(
        (name) => `${name} created`,
      ),
    );
    expect(await places()).toEqual(['keyturn.login_events_2027_08', 'keyturn.login_events_2027_09']);
  });

  it('explain themselves, and are the owner’s alone', async () => {
    const { rows } = await superuser.query(
      `SELECT relowner::regrole::text AS owner, relacl IS NULL AS nobody_else, obj_description(oid, 'pg_class') AS about,
         col_description(oid, 1) IS NOT NULL AS columns_too
       FROM pg_class WHERE oid = 'keyturn.login_events_2026_12'::regclass`,
    );
    expect(rows).toEqual([
      { owner: 'keyturn_owner', nobody_else: true, about: 'Logins of 2026-12, UTC.', columns_too: true },
    ]);
  });

  it('are made once by twenty servers that start together', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => database.connect('app')));
    await setClock('2028-01-15T12:00:00Z');
    const done = (await Promise.all(clients.map((client) => keep(400, client)))).flat();
    expect(done.sort()).toEqual(
      [
        ...['2028_01', '2028_02', '2028_03'].map((month) => `login_events_${month} created`),
        'login_events_2026_11 detached',
      ].sort(),
    );
  });

  it('wait for nobody who reads, and make up for it the next day', async () => {
    const reader = await database.connect('auditor');
    await reader.query('BEGIN; SELECT FROM audit.login_history');
    await setClock('2028-01-15T12:00:00Z');
    expect(await keep()).toEqual([
      'login_events_2028_01 not created yet: somebody reads',
      'login_events_2028_02 not created yet: somebody reads',
      'login_events_2028_03 not created yet: somebody reads',
      'login_events_2026_11 not detached yet: somebody reads',
    ]);
    await logIn();
    await reader.query('COMMIT');
    expect(await keep()).toEqual([
      'login_events_2028_01 created',
      'login_events_2028_02 created',
      'login_events_2028_03 created',
      'login_events_2026_11 detached',
    ]);
    expect(await places()).toEqual(['keyturn.login_events_2028_01']);
  });

  it('are not the server’s to take away: thirty days are kept whatever it says', async () => {
    const auditor = await database.connect('auditor');
    expect(await refusal(keep(29))).toBe('22023');
    expect(await refusal(keep(-1))).toBe('23514');
    expect(await refusal(app.query('SELECT keyturn.keep_login_partitions(NULL)'))).toBe('22023');
    expect(await refusal(keep(400, auditor))).toBe(insufficientPrivilege);
    expect(await tables()).toHaveLength(4);
  });
});

describe('a server', () => {
  it('puts logins in order when it starts and every day, and goes on when it cannot', async () => {
    await setClock('2027-02-15T12:00:00Z');
    const server = await startTestApp({ database, settings: { LOGIN_HISTORY_KEEP: '60d' } });
    try {
      const made = ['login_events_2027_02', 'login_events_2027_03', 'login_events_2027_04'];
      expect(await tables()).toEqual(expect.arrayContaining([...made, 'login_events_2026_11_detached_2027_02_15']));
      await database.moveClock(31 * day);
      await server.app.get(LoginRetention).everyDay();
      expect(await tables()).toContain('login_events_2027_05');

      await superuser.query('REVOKE EXECUTE ON FUNCTION keyturn.keep_login_partitions FROM keyturn_app');
      await server.app.get(LoginRetention).everyDay();
      expect(server.log.at(-1)).toMatch(/^error "logins could not be put in order by months: permission denied/);
    } finally {
      await superuser.query('GRANT EXECUTE ON FUNCTION keyturn.keep_login_partitions TO keyturn_app');
      await server.close();
    }
  });
});
