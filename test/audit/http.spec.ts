import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { members, startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { eventually } from '../full/support/wait.js';
import { behindTheTriggers } from './story.js';

let database: TestDatabase;
let server: TestApp;
let auditor: string;
let clerk: string;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  await server.createUser({ username: 'audrey', roles: ['auditor'] });
  await server.createUser({ username: 'clara', roles: ['clerk'] });
  auditor = (await server.login('audrey')).access_token;
  clerk = (await server.login('clara')).access_token;
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

const events = (body: unknown): unknown => members(body)['events'];

describe('GET /keys/history', () => {
  it('tells an auditor what has happened to the keys, oldest first', async () => {
    const { status, body } = await server.ask('/keys/history', { token: auditor });
    expect([status, body]).toEqual([
      200,
      {
        events: [
          expect.objectContaining({ seq: 1, version: 1, event: 'bootstrapped', what: 'first key; signs from now on' }),
          expect.objectContaining({ seq: 2, event: expect.any(String), who: 'keyturn_app (keyturn server)' }),
          expect.objectContaining({ seq: 3, kid: expect.stringMatching(/^[12]-/) }),
        ],
        next: null,
      },
    ]);
  });

  it('gives a page at a time', async () => {
    const first = await server.ask('/keys/history?limit=2', { token: auditor });
    const { next } = members(first.body);
    const second = await server.ask(`/keys/history?limit=2&after=${String(next)}`, { token: auditor });
    expect([next, events(second.body), members(second.body)['next']]).toEqual([
      2,
      [expect.objectContaining({ seq: 3 })],
      null,
    ]);
  });

  it.each([
    'limit=0',
    'limit=501',
    'limit=',
    'limit=1e2',
    'after=-1',
    'after=1&after=2',
    'page=2',
    'after=9999999999999999',
  ])('refuses %s', async (query) => {
    expect((await server.ask(`/keys/history?${query}`, { token: auditor })).status).toBe(400);
  });
});

describe('GET /history/verify', () => {
  it('says that all fits, and how much that was', async () => {
    const { status, body } = await server.ask('/history/verify', { token: auditor });
    expect([status, body]).toEqual([
      200,
      {
        ok: true,
        checked: { events: 5, keys: 2, users: 2, checkpoints: 1 },
        head: { seq: 5, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
        problem: null,
        seq: null,
        version: null,
        userId: null,
      },
    ]);
  });

  it('names what does not fit', async () => {
    const superuser = await database.connect('superuser');
    const change = (sign: string) =>
      `UPDATE keyturn.signing_keys SET activates_at = activates_at ${sign} interval '1 s' WHERE version = 2`;
    await behindTheTriggers(superuser, change('+'));
    const { body } = await server.ask('/history/verify', { token: auditor });
    await behindTheTriggers(superuser, change('-'));
    expect(body).toMatchObject({
      ok: false,
      version: 2,
      problem: expect.stringMatching(/^signing key 2: activates_at is /),
    });
  });
});

describe('a verification that takes long', () => {
  it('goes on after DATABASE_TIMEOUT, on a connection of its own, and is the only one', async () => {
    const superuser = await database.connect('superuser');
    const onlooker = await database.connect('superuser');
    await superuser.query('BEGIN; LOCK TABLE keyturn.audit_checkpoints IN ACCESS EXCLUSIVE MODE');
    const slow = server.ask('/history/verify', { token: auditor });
    try {
      await eventually('a verification that has taken longer than any other statement may', async () => {
        const { rowCount } = await onlooker.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             AND query LIKE '%verify_history%' AND clock_timestamp() - query_start > interval '3 s'`,
        );
        return rowCount === 1;
      });
      const second = await server.ask('/history/verify', { token: auditor });
      expect([second.status, second.headers.get('retry-after'), members(second.body)['code']]).toEqual([
        503,
        '5',
        'busy',
      ]);
      expect((await server.ask('/keys/history', { token: auditor })).status).toBe(200);
    } finally {
      await superuser.query('ROLLBACK');
    }
    expect(await slow).toMatchObject({ status: 200, body: { ok: true } });
    expect((await server.ask('/history/verify', { token: auditor })).status).toBe(200);
  });
});

describe('the history', () => {
  it.each(['/keys/history', '/history/verify'])('is closed to strangers: %s', async (path) => {
    expect((await server.ask(path)).status).toBe(401);
  });

  it.each(['/keys/history', '/history/verify'])(
    'is closed to people who are neither administrator nor auditor: %s',
    async (path) => {
      expect((await server.ask(path, { token: clerk })).status).toBe(403);
    },
  );

  it('shows its signed head to everybody', async () => {
    expect((await server.ask('/history/checkpoint')).status).toBe(200);
  });
});
