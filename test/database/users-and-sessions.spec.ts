import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { checkViolation, insufficientPrivilege, refusal, uniqueViolation } from '../support/refusal.js';
import { bootstrapKey, only, second } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addSession, addUser, type UserRow } from '../support/users.js';

let database: TestDatabase;
let app: Client;
let owner: Client;
let superuser: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
beforeEach(async () => await database.reset());
afterAll(async () => await database.drop());

async function user(id: string): Promise<UserRow> {
  return only(await app.query<UserRow>('SELECT * FROM keyturn.users WHERE id = $1', [id]));
}

async function set(id: string, assignment: string, db = app): Promise<void> {
  await db.query(`UPDATE keyturn.users SET ${assignment} WHERE id = $1`, [id]);
}

describe('a user', () => {
  let id: string;
  beforeEach(async () => {
    ({ id } = await addUser(app, { username: 'Anna@example.com', roles: ['admin'] }));
  });

  it.each([
    `roles = '{admin,auditor}'`,
    `roles = '{}'`,
    `disabled_at = keyturn.clock()`,
    `reset_at = keyturn.clock()`,
    `roles = '{}', disabled_at = keyturn.clock()`,
  ])('has a ver that rises by one when roles or standing change: %s', async (assignment) => {
    await set(id, assignment);
    expect((await user(id)).ver).toBe(2);
  });

  it.each([
    `roles = roles`,
    `username = 'anna'`,
    `password_hash = '$argon2id$v=19$anything', password_changed_at = keyturn.clock()`,
  ])('has a ver that stays when neither changes: %s', async (assignment) => {
    await set(id, assignment);
    expect((await user(id)).ver).toBe(1);
  });

  it('has a ver that rises by the hand of a superuser as well', async () => {
    await set(id, `roles = '{}'`, superuser);
    expect((await user(id)).ver).toBe(2);
  });

  it('has a ver that rises even when the statement says it stays', async () => {
    await set(id, `roles = '{}', ver = 1`, superuser);
    expect((await user(id)).ver).toBe(2);
  });

  it('has a ver that never falls', async () => {
    await set(id, `roles = '{}'`);
    expect(await refusal(set(id, 'ver = 1', superuser))).toBe(checkViolation);
  });

  it('keeps its id', async () => {
    expect(await refusal(set(id, `id = '${randomUUID()}'`, superuser))).toBe(checkViolation);
  });

  it('has a name that nobody else has, ignoring case', async () => {
    expect(await refusal(addUser(app, { username: 'anna@EXAMPLE.com' }))).toBe(uniqueViolation);
  });

  it.each(['', 'two words', 'line\nbreak', 'a'.repeat(255)])('has no name like %j', async (username) => {
    expect(await refusal(addUser(app, { username }))).toBe(checkViolation);
  });

  it.each(['two words', '', 'a,b', 'a'.repeat(65)])('has no role like %j', async (role) => {
    expect(await refusal(addUser(app, { roles: ['admin', role] }))).toBe(checkViolation);
  });

  it('has no password but a hash of it', async () => {
    expect(await refusal(set(id, `password_hash = 'correct horse'`))).toBe(checkViolation);
  });

  it('cannot be deleted by the server', async () => {
    expect(await refusal(app.query('DELETE FROM keyturn.users'))).toBe(insufficientPrivilege);
  });

  it('cannot vanish by TRUNCATE, for anybody', async () => {
    const truncated = 'TRUNCATE keyturn.users CASCADE';
    expect([await refusal(owner.query(truncated)), await refusal(superuser.query(truncated))]).toEqual([
      insufficientPrivilege,
      insufficientPrivilege,
    ]);
  });

  it('takes sessions along when erased', async () => {
    await addSession(app, id);
    await owner.query('DELETE FROM keyturn.users');
    expect((await app.query('SELECT FROM keyturn.sessions')).rowCount).toBe(0);
  });
});

describe('a session', () => {
  interface SessionRow {
    readonly ended_at: Date | null;
    readonly end_reason: string | null;
  }
  let userId: string;
  let id: string;
  beforeEach(async () => {
    ({ id: userId } = await addUser(app));
    id = await addSession(app, userId);
  });
  const session = async (): Promise<SessionRow> =>
    only(await app.query<SessionRow>('SELECT ended_at, end_reason FROM keyturn.sessions WHERE id = $1', [id]));
  const alter = async (assignment: string, db = app): Promise<void> => {
    await db.query(`UPDATE keyturn.sessions SET ${assignment} WHERE id = $1`, [id]);
  };

  it.each(['app', 'superuser'] as const)('ends when its user is disabled, by the hand of %s', async (hand) => {
    await set(userId, 'disabled_at = keyturn.clock()', hand === 'app' ? app : superuser);
    expect(await session()).toEqual({ ended_at: expect.any(Date), end_reason: 'disabled' });
  });

  it('goes on when another user is disabled', async () => {
    await set((await addUser(app)).id, 'disabled_at = keyturn.clock()');
    expect(await session()).toEqual({ ended_at: null, end_reason: null });
  });

  it('stays ended when its user is enabled again', async () => {
    await set(userId, 'disabled_at = keyturn.clock()');
    await set(userId, 'disabled_at = NULL');
    expect(await session()).toMatchObject({ end_reason: 'disabled' });
  });

  it('keeps why it ended when its user is disabled later', async () => {
    await alter(`ended_at = keyturn.clock(), end_reason = 'logout'`);
    await set(userId, 'disabled_at = keyturn.clock()');
    expect(await session()).toMatchObject({ end_reason: 'logout' });
  });

  it('ends when the database says', async () => {
    await alter(`ended_at = '2001-01-01Z', end_reason = 'logout'`);
    const { ended_at: ended } = await session();
    expect(ended?.getFullYear()).toBeGreaterThan(2001);
  });

  it('says that it was ended by hand where no reason is given', async () => {
    await alter('ended_at = now()', superuser);
    expect(await session()).toMatchObject({ end_reason: 'by_hand' });
  });

  it.each([
    'ended_at = NULL, end_reason = NULL',
    `end_reason = 'administrator'`,
    `refreshed_at = keyturn.clock()`,
    'refresh_generation = refresh_generation + 1',
  ])('stays ended: %s', async (assignment) => {
    await alter(`ended_at = keyturn.clock(), end_reason = 'logout'`);
    expect([await refusal(alter(assignment)), await refusal(alter(assignment, superuser))]).toEqual([
      checkViolation,
      checkViolation,
    ]);
  });

  it('has an absolute limit that is never extended', async () => {
    const extended = `expires_at = expires_at + interval '1 second'`;
    expect([await refusal(alter(extended)), await refusal(alter(extended, superuser))]).toEqual([
      insufficientPrivilege,
      checkViolation,
    ]);
  });

  it('is idle no later than its absolute limit', async () => {
    expect(await refusal(alter(`idle_expires_at = expires_at + interval '1 second'`))).toBe(checkViolation);
  });

  it('may be refreshed', async () => {
    await alter(
      `refreshed_at = keyturn.clock(), idle_expires_at = keyturn.clock() + interval '2 hours', refresh_generation = 1`,
    );
    expect(await session()).toEqual({ ended_at: null, end_reason: null });
  });

  it.each(['live', 'just ended'])('cannot be deleted while it is %s, by anybody', async (state) => {
    if (state !== 'live') await alter('ended_at = now()');
    const deleted = 'DELETE FROM keyturn.sessions';
    expect([await refusal(app.query(deleted)), await refusal(superuser.query(deleted))]).toEqual([
      insufficientPrivilege,
      insufficientPrivilege,
    ]);
  });

  it('cannot vanish by TRUNCATE, for anybody', async () => {
    expect(await refusal(superuser.query('TRUNCATE keyturn.sessions'))).toBe(insufficientPrivilege);
  });

  it('may be deleted a day after it is over', async () => {
    await alter('ended_at = now()');
    await database.moveClock(24 * 60 * 60 * second);
    expect((await app.query('DELETE FROM keyturn.sessions')).rowCount).toBe(1);
  });

  it('keeps its user', async () => {
    const other = await addUser(app);
    expect(await refusal(alter(`user_id = '${other.id}'`, superuser))).toBe(checkViolation);
  });
});

describe('news', () => {
  interface News {
    readonly clock: Date;
    readonly key_generation: string;
    readonly head_seq: string;
    readonly changed_users: readonly string[];
    readonly ended_sessions: readonly string[];
    readonly seen: string;
    readonly head_hash: string;
    readonly rewound: boolean;
    readonly missed: boolean;
    readonly restored: boolean;
    readonly incarnation: string;
  }
  const news = async (since = 0, hash = '', seen: string | null = null): Promise<News> =>
    only(await app.query<News>('SELECT * FROM keyturn.news($1, $2, $3)', [since, hash, seen]));
  const newsAfter = ({ head_seq: seq, head_hash: hash, seen }: News): Promise<News> => news(Number(seq), hash, seen);

  it('of an empty database is none', async () => {
    expect(await news()).toEqual({
      clock: expect.any(Date),
      key_generation: '0',
      head_seq: '0',
      changed_users: [],
      ended_sessions: [],
      seen: expect.any(String),
      head_hash: '',
      rewound: false,
      missed: false,
      restored: false,
      incarnation: '1',
      server_started: only(await superuser.query('SELECT pg_postmaster_start_time() AS at')).at,
    });
  });

  it('brings the clock that the database stamps with', async () => {
    const real = (await news()).clock.getTime();
    await database.moveClock(1_000 * second);
    expect((await news()).clock.getTime()).toBeGreaterThanOrEqual(real + 1_000 * second);
  });

  it('brings each user changed since, once', async () => {
    const { id } = await addUser(app);
    const { head_seq: since } = await news();
    await addUser(app);
    await set(id, `roles = '{admin}'`);
    await set(id, `roles = '{}'`);
    const { changed_users: changed } = await news(Number(since));
    expect([changed.length, changed.filter((other) => other === id).length]).toEqual([2, 1]);
  });

  it('brings no user that had changed before', async () => {
    await addUser(app);
    const { head_seq: since } = await news();
    expect((await news(Number(since))).changed_users).toEqual([]);
  });

  it('brings an erased user', async () => {
    const { id } = await addUser(app);
    const { head_seq: since } = await news();
    await owner.query('DELETE FROM keyturn.users');
    expect((await news(Number(since))).changed_users).toEqual([id]);
  });

  it('counts as generation the newest event of a key, not of a user', async () => {
    await bootstrapKey(app);
    await addUser(app);
    expect(await news()).toMatchObject({ key_generation: '1', head_seq: '2' });
  });

  it('brings a session that has ended since, once', async () => {
    const id = await addSession(app, (await addUser(app)).id);
    const before = await news();
    await app.query('UPDATE keyturn.sessions SET ended_at = now()');
    const after = await newsAfter(before);
    expect([after.ended_sessions, (await newsAfter(after)).ended_sessions]).toEqual([[id], []]);
  });

  it('brings sessions in whatever order their ends were committed', async () => {
    const { id: userId } = await addUser(app);
    const [first, second] = [await addSession(app, userId), await addSession(app, userId)];
    const end = (db: Client, id: string) =>
      db.query(`UPDATE keyturn.sessions SET end_reason = 'logout' WHERE id = $1`, [id]);
    const before = await news();
    await superuser.query('BEGIN');
    await end(superuser, first);
    await end(app, second);
    const between = await newsAfter(before);
    await superuser.query('COMMIT');
    expect([between.ended_sessions, (await newsAfter(between)).ended_sessions]).toEqual([[second], [first]]);
  });

  it('brings no session that ended before the first question', async () => {
    await addSession(app, (await addUser(app)).id);
    await app.query('UPDATE keyturn.sessions SET ended_at = now()');
    expect((await news()).ended_sessions).toEqual([]);
  });

  it('says when the newest event that was known is another one now, or is gone', async () => {
    await addUser(app);
    const { head_seq: seq, head_hash: hash } = await news();
    const said = [await news(1, hash), await news(1, '0'.repeat(64)), await news(2, hash), await news(0, '')];
    expect([seq, ...said.map(({ rewound }) => rewound)]).toEqual(['1', false, true, true, false]);
  });

  it('says that all may have been missed when transactions count from lower numbers than before', async () => {
    expect([(await news(0, '', '3:3:')).missed, (await news(0, '', '4000000000000:4000000000000:')).missed]).toEqual([
      false,
      true,
    ]);
  });

  it('reads, of all the sessions that ever ended, those that did since', async () => {
    const { id } = await addUser(app);
    await superuser.query(
      `INSERT INTO keyturn.sessions (user_id, idle_expires_at, expires_at, refresh_hash, ended_at, ended_in, end_reason)
       SELECT $1, now() + interval '1 day', now() + interval '1 day', sha256('any'), keyturn.clock() - interval '1 day', pg_current_xact_id(), 'logout' FROM generate_series(1, 2000)`,
      [id],
    );
    await superuser.query('ANALYZE keyturn.sessions');
    // Counts not yet handed to the statistics, of earlier transactions too.
    const rowsRead = async (): Promise<number> =>
      only(
        await app.query<{ rows: number }>(
          `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::integer AS rows FROM pg_stat_xact_user_tables
           WHERE relid = 'keyturn.sessions'::regclass`,
        ),
      ).rows;
    const known = await news();
    await app.query('BEGIN');
    const before = await rowsRead();
    await newsAfter(known);
    const after = await rowsRead();
    await app.query('ROLLBACK');
    expect(after - before).toBe(0);
  });

  it('tells the auditor nothing', async () => {
    const auditor = await database.connect('auditor');
    expect(await refusal(auditor.query('SELECT * FROM keyturn.news(0, NULL, NULL)'))).toBe(insufficientPrivilege);
  });
});
