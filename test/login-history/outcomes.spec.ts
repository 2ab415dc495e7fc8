import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { issueCodeFor } from '../../src/auth/codes/user-codes.js';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { inChange } from '../../src/database/change.js';
import { DataSource } from 'typeorm';
import { only } from '../support/signing-keys.js';
import { checkViolation, insufficientPrivilege, refusal } from '../support/refusal.js';
import { members, PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

interface LoginRow {
  readonly at: Date;
  readonly outcome: string;
  readonly username: string | null;
  readonly username_tried: string | null;
  readonly address: string | null;
  readonly user_agent: string | null;
  readonly user_id: string | null;
  readonly session_id: string | null;
  readonly request_id: string | null;
}

let database: TestDatabase;
let server: TestApp;
let auditor: Client;
let superuser: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  // What a proxy on this machine says of the address is believed.
  server = await startTestApp({ database, settings: { TRUSTED_PROXIES: '127.0.0.1', DATABASE_TIMEOUT: '700ms' } });
  auditor = await database.connect('auditor');
  superuser = await database.connect('superuser');
});
afterEach(async () => await superuser.query('DELETE FROM keyturn.login_events'));
afterAll(async () => {
  await server.close();
  await database.drop();
});

const agent = 'Mozilla/5.0 (a browser of the test)';
const wrong = 'seven lanterns over quiet wine';
const from = { 'user-agent': agent, 'x-forwarded-for': '203.0.113.7' };

const login = (username: string, password: string, headers: Readonly<Record<string, string>> = from): Promise<Answer> =>
  server.ask('/auth/login', { json: { username, password }, headers });

/** What the auditor reads, oldest first. */
async function logins(): Promise<LoginRow[]> {
  const { rows } = await auditor.query<LoginRow>('SELECT * FROM audit.login_history ORDER BY at');
  return rows;
}
const onlyLogin = async (): Promise<LoginRow> => {
  const [row, ...more] = await logins();
  if (!row || more.length > 0) throw new Error(`expected one login, found ${more.length + (row ? 1 : 0)}`);
  return row;
};

const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

describe('the login history', () => {
  it('has each login that succeeded, with its session, from where and with what', async () => {
    const { id } = await server.createUser({ username: 'anna@example.com' });
    const { body } = await login('Anna@example.com', PASSWORD);
    const { access_token: token } = members(body);
    const me = await server.ask('/auth/me', { token: String(token) });

    expect(await onlyLogin()).toEqual({
      at: expect.any(Date),
      outcome: 'success',
      username: 'anna@example.com',
      username_tried: 'Anna@example.com',
      address: '203.0.113.7',
      user_agent: agent,
      user_id: id,
      session_id: members(me.body)['sessionId'],
      request_id: uuid,
    });
  });

  it('has each login that was refused, and why, which the answer does not say', async () => {
    const { id: bert } = await server.createUser({ username: 'bert' });
    const { id: carl } = await server.createUser({ username: 'carl' });
    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'carl'`);
    const invited = only(
      await superuser.query<{ id: string }>(`INSERT INTO keyturn.users (username) VALUES ('dora') RETURNING id`),
    ).id;

    const answers = [
      await login('BERT', wrong),
      await login('nobody', PASSWORD),
      await login('carl', PASSWORD),
      await login('carl', wrong),
      await login('dora', PASSWORD),
    ];

    const seen = { address: '203.0.113.7', user_agent: agent, session_id: null };
    expect(await logins()).toMatchObject([
      { ...seen, outcome: 'wrong_password', user_id: bert, username: 'bert', username_tried: 'BERT' },
      { ...seen, outcome: 'unknown_user', user_id: null, username: null, username_tried: 'nobody' },
      { ...seen, outcome: 'disabled', user_id: carl, username: 'carl', username_tried: 'carl' },
      { ...seen, outcome: 'disabled', user_id: carl, username: 'carl', username_tried: 'carl' },
      { ...seen, outcome: 'wrong_password', user_id: invited, username: 'dora', username_tried: 'dora' },
    ]);
    const requests = answers.map((answer) => members(answer.body)['requestId']);
    expect((await logins()).map((row) => row.request_id)).toEqual(requests);
    expect(answers.map((answer) => answer.status)).toEqual([401, 401, 401, 401, 401]);
  });

  it('costs everybody who is refused the same statements', async () => {
    await server.createUser({ username: 'emil' });
    const statements = async (username: string): Promise<string[]> => {
      server.statements.length = 0;
      await login(username, wrong);
      return server.statements.filter((statement) => !statement.includes('news('));
    };
    const known = await statements('emil');
    expect(known).toEqual([
      expect.stringContaining('keyturn.take_attempt('),
      expect.stringContaining('FROM "keyturn"."users"'),
      expect.stringContaining('INSERT INTO keyturn.login_events'),
    ]);
    expect([await statements('nobody'), await statements('carl')]).toEqual([known, known]);
  });

  it('has a spent refresh token that came back, once, with the session that it ended', async () => {
    const { id } = await server.createUser({ username: 'frida' });
    const { refresh_token: spent } = await server.login('frida');
    await server.refresh(spent);
    await database.moveClock(11_000);
    await superuser.query('DELETE FROM keyturn.login_events');

    const again = (): Promise<Answer> => server.ask('/auth/refresh', { json: { refresh_token: spent }, headers: from });
    await Promise.all(Array.from({ length: 10 }, again));

    const { rows } = await superuser.query<{ id: string; end_reason: string }>(
      'SELECT id, end_reason FROM keyturn.sessions WHERE user_id = $1',
      [id],
    );
    expect(rows).toEqual([{ id: expect.anything(), end_reason: 'refresh_token_reused' }]);
    expect(await onlyLogin()).toMatchObject({
      outcome: 'refresh_reused',
      user_id: id,
      username: 'frida',
      username_tried: null,
      address: '203.0.113.7',
      user_agent: agent,
      session_id: rows[0]?.id,
      request_id: uuid,
    });
  });

  it('has each password that was set with a code', async () => {
    const dataSource = server.app.get(DataSource);
    const { id } = await server.createUser({ username: 'greta' });
    const { code } = await inChange(dataSource, {}, (manager, now) => issueCodeFor(manager, id, 'reset', now));
    const redeem = (json: object): Promise<Answer> => server.ask('/auth/redeem', { json, headers: from });
    expect((await redeem({ code, password: wrong })).status).toBe(204);
    expect((await redeem({ code, password: wrong })).status).toBe(400);

    const seen = { outcome: 'code_redeemed', address: '203.0.113.7', user_agent: agent, request_id: uuid };
    expect(await onlyLogin()).toMatchObject({ ...seen, user_id: id, username: 'greta', username_tried: null });

    await superuser.query('DELETE FROM keyturn.login_events');
    const setup = await server.app.get(OneTimeCodes).issueSetupCode();
    await redeem({ code: setup, username: 'first', password: PASSWORD });
    expect(await onlyLogin()).toMatchObject({ ...seen, username: 'first', username_tried: 'first' });
  });

  it('never has a password, nor a token', async () => {
    await server.createUser({ username: 'hans' });
    const { access_token: access, refresh_token: refresh } = await server.login('hans');
    await login('hans', wrong);
    await login('nobody', wrong);
    const { rows } = await superuser.query<{ text: string }>(
      'SELECT to_jsonb(e)::text AS text FROM keyturn.login_events e',
    );
    expect(rows).toHaveLength(3);
    for (const secret of [PASSWORD, wrong, access, refresh]) {
      expect(rows.filter(({ text }) => text.includes(secret))).toEqual([]);
      expect(server.log.filter((line) => line.includes(secret))).toEqual([]);
    }
  });

  it.each([
    ['garbage; DROP TABLE', null],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['fe80::1%eth0', 'fe80::1'],
    ['[2001:db8::9]:80', '2001:db8::9'],
    ['[fe80::2%eth0]', 'fe80::2'],
    ['203.0.113.8:5678', '203.0.113.8'],
    ['[::1', null],
    ['unknown', null],
    ['203.0.113.10, 999.1.1.1', null],
    ['2001:db8::7', '2001:db8::7'],
  ])('takes %j for an address as %p, and lets in all the same', async (said, address) => {
    await server.createUser({ username: `from-${said.replace(/\W/g, '')}` });
    const { status } = await login(`from-${said.replace(/\W/g, '')}`, PASSWORD, { ...from, 'x-forwarded-for': said });
    expect([status, (await onlyLogin()).address]).toEqual([200, address]);
  });

  it('bounds what a client calls itself', async () => {
    await login('nobody', wrong, { ...from, 'user-agent': 'x'.repeat(5_000) });
    expect((await onlyLogin()).user_agent).toBe('x'.repeat(256));
  });

  it('is not a login’s to leave out: without the database a refusal is a 503, as ever', async () => {
    await superuser.query('BEGIN; LOCK TABLE keyturn.login_events IN ACCESS EXCLUSIVE MODE');
    const answers = await Promise.all([login('nobody', wrong), login('anna@example.com', PASSWORD)]);
    await superuser.query('ROLLBACK');
    expect(answers.map(({ status }) => status)).toEqual([503, 503]);
    expect(await logins()).toEqual([]);
  });

  it('forgets name, address and agent of a person who is erased, and keeps that there were logins', async () => {
    const { id } = await server.createUser({ username: 'ida' });
    await login('ida', PASSWORD);
    await login('ida', wrong);
    await login('nobody', wrong);
    await superuser.query('DELETE FROM keyturn.users WHERE id = $1', [id]);
    const nothing = { username: null, username_tried: null, address: null, user_agent: null };
    expect(await logins()).toMatchObject([
      { ...nothing, outcome: 'success', user_id: id },
      { ...nothing, outcome: 'wrong_password', user_id: id },
      { outcome: 'unknown_user', username_tried: 'nobody', address: '203.0.113.7' },
    ]);
  });

  it('is the auditor’s to read by the view alone, and nobody’s to change', async () => {
    await login('nobody', wrong);
    const app = await database.connect('app');
    const tries: readonly (readonly [Client, string])[] = [
      [auditor, 'SELECT FROM keyturn.login_events'],
      [app, `UPDATE keyturn.login_events SET outcome = 'success'`],
      [app, 'DELETE FROM keyturn.login_events'],
      [app, 'TRUNCATE keyturn.login_events'],
      [app, 'DROP TABLE keyturn.login_events_default'],
      [app, `INSERT INTO keyturn.login_events (at, outcome) VALUES (now() - interval '1 day', 'throttled')`],
      [app, 'SELECT FROM keyturn.login_events_default'],
    ];
    for (const [client, sql] of tries) expect(await refusal(client.query(sql))).toBe(insufficientPrivilege);
    await app.query('SELECT FROM keyturn.login_events');
  });

  it('has no outcome that is not one of its own', async () => {
    const app = await database.connect('app');
    const insert = (outcome: string, userId: string | null): Promise<unknown> =>
      app.query('INSERT INTO keyturn.login_events (outcome, user_id) VALUES ($1, $2)', [outcome, userId]);
    const some = '00000000-0000-4000-8000-000000000000';
    await insert('throttled', null);
    const wrongs = [
      ['let in', some],
      ['success', some],
      ['unknown_user', some],
      ['disabled', null],
    ] as const;
    for (const [outcome, userId] of wrongs) expect(await refusal(insert(outcome, userId))).toBe(checkViolation);
  });
});
