import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import {
  PASSWORD,
  startTestApp,
  tokenPair,
  type Answer,
  type TestApp,
  type TestTokenPair,
} from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { day, minute, only, second } from '../support/signing-keys.js';
import { eventually } from '../full/support/wait.js';
import { readToken } from '../support/tokens.js';

const IDLE = 7 * day;
const ABSOLUTE = 30 * day;
const GRACE = 10 * second;

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database });
  await server.createUser({ username: 'anna', roles: ['sales'] });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** Time passes, the server hears of it, and does what is due by then. */
async function pass(milliseconds: number): Promise<void> {
  await database.moveClock(milliseconds);
  await server.hearNews();
  await server.tick();
}

const refreshed = async (pair: TestTokenPair): Promise<TestTokenPair> =>
  tokenPair(await server.refresh(pair.refresh_token));
const me = async (pair: TestTokenPair): Promise<number> =>
  (await server.ask('/auth/me', { token: pair.access_token })).status;
const sessionOf = (pair: TestTokenPair): string => String(readToken(pair.access_token).claims['sid']);

async function row(pair: TestTokenPair) {
  return only(
    await superuser.query<{ ended: boolean; end_reason: string | null; refresh_generation: number; expires_at: Date }>(
      'SELECT ended_at IS NOT NULL AS ended, end_reason, refresh_generation, expires_at FROM keyturn.sessions WHERE id = $1',
      [sessionOf(pair)],
    ),
  );
}

const refusal = { status: 400, body: expect.objectContaining({ status: 400, code: 'invalid_grant' }) };
const answered = ({ status, body }: Answer) => ({ status, body });

describe('a refresh', () => {
  it('brings another pair of the same session', async () => {
    const first = await server.login('anna');

    const next = await refreshed(first);

    expect(next.refresh_token).not.toBe(first.refresh_token);
    expect(next.access_token).not.toBe(first.access_token);
    expect(sessionOf(next)).toBe(sessionOf(first));
    expect([await me(first), await me(next)]).toEqual([200, 200]);
  });

  it('may be kept by no cache', async () => {
    const { headers } = await server.refresh((await server.login('anna')).refresh_token);

    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('keeps the time of the login and the roles', async () => {
    const first = await server.login('anna');
    await pass(minute);

    const { claims } = readToken((await refreshed(first)).access_token);

    expect(claims).toMatchObject({ auth_time: readToken(first.access_token).claims['auth_time'], roles: ['sales'] });
  });

  it('with the same token again within the grace brings the same successor and a fresh access token', async () => {
    const first = await server.login('anna');
    const next = await refreshed(first);
    await pass(GRACE - second);

    const again = await refreshed(first);

    expect(again.refresh_token).toBe(next.refresh_token);
    expect(again.access_token).not.toBe(next.access_token);
    expect([await me(next), await me(again)]).toEqual([200, 200]);
    expect(await row(first)).toMatchObject({ ended: false, refresh_generation: 1 });
  });

  it('fifty times at once brings exactly one successor, the same to all', async () => {
    const first = await server.login('anna');

    const pairs = await Promise.all(Array.from({ length: 50 }, () => refreshed(first)));

    expect(new Set(pairs.map((pair) => pair.refresh_token)).size).toBe(1);
    expect(new Set(pairs.map((pair) => pair.access_token)).size).toBe(50);
    expect(await row(first)).toMatchObject({ ended: false, refresh_generation: 1 });
    expect(await me(await refreshed(pairs[49] ?? first))).toBe(200);
  });

  it('with what is no refresh token is refused', async () => {
    const { access_token: access, refresh_token: refresh } = await server.login('anna');
    const wrong = [
      'x',
      'ktr_',
      `${refresh}A`,
      refresh.slice(0, -1),
      refresh.slice(4),
      access.slice(0, 500),
      ` ${refresh}`,
    ];

    const answers = await Promise.all(wrong.map((token) => server.refresh(token)));

    expect(answers.map(answered)).toEqual(wrong.map(() => refusal));
  });
});

it('no row of any table holds a refresh token, an access token, a password or a private key', async () => {
  const first = await server.login('anna');
  const second = await refreshed(first);
  const [key] = await server.openKeys();
  if (!key) throw new Error('no key');
  const { rows: tables } = await superuser.query<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('keyturn', 'audit')`,
  );
  const stored: string[] = [];
  for (const { name } of tables) {
    const { rows } = await superuser.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
    stored.push(...rows.map(({ row }) => row));
  }
  const all = stored.join('\n');
  const bitsOf = ({ refresh_token: token }: TestTokenPair): Buffer =>
    Buffer.from(token.slice('ktr_'.length), 'base64url').subarray(20, 52);
  const { d = '' } = key.privateKey.export({ format: 'jwk' });
  const hidden = [bitsOf(first), bitsOf(second), Buffer.from(d, 'base64url'), Buffer.from(PASSWORD)];

  // What is looked for would be found: the public half and the hash of the good token are there.
  expect(all).toContain(String(key.publicJwk?.x));
  expect(all).toContain(createHash('sha256').update(bitsOf(second)).digest('hex'));
  for (const bytes of hidden) {
    expect(bytes.length).toBeGreaterThan(16);
    for (const encoding of ['hex', 'base64', 'base64url', 'latin1'] as const)
      expect(all).not.toContain(bytes.toString(encoding));
  }
  for (const token of [first, second].flatMap((pair) => [pair.access_token, pair.refresh_token]))
    expect(all).not.toContain(token);
});

describe('a spent refresh token that comes back after the grace', () => {
  it('ends the session, for the one who has the good token too', async () => {
    const first = await server.login('anna');
    const next = await refreshed(first);
    await pass(GRACE + second);

    expect(answered(await server.refresh(first.refresh_token))).toEqual(refusal);

    expect(answered(await server.refresh(next.refresh_token))).toEqual(refusal);
    expect([await me(first), await me(next)]).toEqual([401, 401]);
  });

  it('is recorded as the reason', async () => {
    const first = await server.login('anna');
    await refreshed(first);
    await pass(GRACE + second);
    await server.refresh(first.refresh_token);

    expect(await row(first)).toMatchObject({ ended: true, end_reason: 'refresh_token_reused' });
    expect(server.log.filter((line) => line.startsWith('warn')).join('\n')).toContain(sessionOf(first));
  });

  it('ends the session when it is an ancestor of long ago, even within the grace of the newest', async () => {
    const first = await server.login('anna');
    let newest = first;
    for (let generation = 0; generation < 5; generation++) newest = await refreshed(newest);

    expect(answered(await server.refresh(first.refresh_token))).toEqual(refusal);

    expect(answered(await server.refresh(newest.refresh_token))).toEqual(refusal);
    expect(await row(first)).toMatchObject({ ended: true, end_reason: 'refresh_token_reused' });
  });

  it('ends no other session of the same user', async () => {
    const other = await server.login('anna');
    const first = await server.login('anna');
    await refreshed(first);
    await pass(GRACE + second);
    await server.refresh(first.refresh_token);

    expect(await me(other)).toBe(200);
    expect(await me(await refreshed(other))).toBe(200);
  });
});

describe('somebody who knows the id of a session and guesses', () => {
  /** As it is written: session, generation, secret bits. */
  const guess = (pair: TestTokenPair, generation: number): string => {
    const bytes = Buffer.from(pair.refresh_token.slice('ktr_'.length), 'base64url');
    bytes.writeUInt32BE(generation, 16);
    randomBytes(32).copy(bytes, 20);
    return `ktr_${bytes.toString('base64url')}`;
  };

  it.each([0, 1, 2, 3, 4_294_967_295])('does not end it with generation %d', async (generation) => {
    const newest = await refreshed(await refreshed(await server.login('anna')));

    expect(answered(await server.refresh(guess(newest, generation)))).toEqual(refusal);

    expect(await row(newest)).toMatchObject({ ended: false, refresh_generation: 2 });
    expect(await me(await refreshed(newest))).toBe(200);
  });

  it('does not end it with the right bits under another generation', async () => {
    const pair = await refreshed(await server.login('anna'));
    const bytes = Buffer.from(pair.refresh_token.slice('ktr_'.length), 'base64url');
    for (const generation of [0, 2, 2_147_483_648]) {
      bytes.writeUInt32BE(generation, 16);
      expect(answered(await server.refresh(`ktr_${bytes.toString('base64url')}`))).toEqual(refusal);
    }

    expect(await row(pair)).toMatchObject({ ended: false });
  });

  it('finds nothing under the id of no session', async () => {
    const token = `ktr_${randomBytes(52).toString('base64url')}`;

    expect(answered(await server.refresh(token))).toEqual(refusal);
  });
});

describe('when the database’s clock jumps ahead', () => {
  it('the tokens of a login and of a refresh are good on the server that issued them, before any news', async () => {
    await database.moveClock(5 * minute);
    const first = await server.login('anna');
    expect(await me(first)).toBe(200);

    await database.moveClock(5 * minute);
    expect(await me(await refreshed(first))).toBe(200);
  });
});

describe('a logout', () => {
  it('ends the session at once', async () => {
    const pair = await server.login('anna');
    expect(await me(pair)).toBe(200);

    const { status } = await server.ask('/auth/logout', { method: 'POST', token: pair.access_token });

    expect([status, await me(pair)]).toEqual([204, 401]);
    expect(answered(await server.refresh(pair.refresh_token))).toEqual(refusal);
    expect(await row(pair)).toMatchObject({ ended: true, end_reason: 'logout' });
  });

  it('leaves the other sessions of the user alone', async () => {
    const [one, other] = [await server.login('anna'), await server.login('anna')];

    await server.ask('/auth/logout', { method: 'POST', token: one.access_token });
    await server.hearNews();

    expect(await me(other)).toBe(200);
  });
});

describe('a session', () => {
  it('that nobody refreshes ends when it was idle for so long', async () => {
    const pair = await server.login('anna');
    await pass(IDLE + second);

    expect(answered(await server.refresh(pair.refresh_token))).toEqual(refusal);
  });

  it('that is refreshed lives on, and ends at its absolute limit all the same', async () => {
    let pair = await server.login('anna');
    const { expires_at: limit } = await row(pair);
    for (let age = 0; age + 6 * day < ABSOLUTE; age += 6 * day) {
      await pass(6 * day);
      pair = await refreshed(pair);
    }
    expect((await row(pair)).expires_at).toEqual(limit);
    expect(pair.refresh_expires_in).toBeLessThanOrEqual((6 * day) / second);

    await pass(6 * day);

    expect(answered(await server.refresh(pair.refresh_token))).toEqual(refusal);
  });

  it('gives no token that outlives it', async () => {
    let pair = await server.login('anna');
    for (let age = 0; age < 24 * day; age += 6 * day) {
      await pass(6 * day);
      pair = await refreshed(pair);
    }
    await pass(6 * day - 5 * minute);

    const last = await refreshed(pair);

    expect(last.expires_in).toBeLessThanOrEqual(300);
    expect(last.expires_in).toBeGreaterThan(200);
    await pass(5 * minute);
    expect([await me(last), (await server.refresh(last.refresh_token)).status]).toEqual([401, 400]);
  });

  it('outlives every rotation of the signing keys', async () => {
    await server.createUser({ username: 'admin', roles: ['admin'] });
    let pair = await server.login('anna');
    for (let turn = 0; turn < 3; turn++) {
      const { access_token: token } = await server.login('admin');
      expect((await server.ask('/keys/rotate', { token, json: { force: true } })).status).toBe(200);
      await server.hearNews();
      expect(await me(pair)).toBe(200);
      pair = await refreshed(pair);
      expect(await me(pair)).toBe(200);
    }
  });

  it('of a user who is disabled in psql ends with the next news', async () => {
    await server.createUser({ username: 'dora' });
    const pair = await server.login('dora');
    expect(await me(pair)).toBe(200);

    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'dora'`);
    await server.hearNews();

    expect(await me(pair)).toBe(401);
    expect(answered(await server.refresh(pair.refresh_token))).toEqual(refusal);
    expect(await row(pair)).toMatchObject({ ended: true, end_reason: 'disabled' });
  });

  it('of a user who was disabled stays ended when the user is enabled again', async () => {
    await server.createUser({ username: 'edda' });
    const pair = await server.login('edda');
    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'edda'`);
    await superuser.query(`UPDATE keyturn.users SET disabled_at = NULL WHERE username = 'edda'`);
    await server.hearNews();

    expect(await me(pair)).toBe(401);
    expect(answered(await server.refresh(pair.refresh_token))).toEqual(refusal);
    expect(await me(await server.login('edda'))).toBe(200);
  });

  it('of a user whose roles change asks for a refresh, which brings the new ones', async () => {
    await server.createUser({ username: 'rita', roles: ['sales'] });
    const before = await server.login('rita');
    expect(await me(before)).toBe(200);

    await superuser.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE username = 'rita'`);
    await server.hearNews();

    expect(await me(before)).toBe(401);
    const after = await refreshed(before);
    expect(readToken(after.access_token).claims).toMatchObject({ roles: ['hr'], ver: 2 });
    expect(await me(after)).toBe(200);
    expect(await me(before)).toBe(401);
  });

  it('of a user whose roles change is good under the new roles before the news has come', async () => {
    await server.createUser({ username: 'rosa' });
    const before = await server.login('rosa');
    expect(await me(before)).toBe(200);
    await superuser.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE username = 'rosa'`);

    const after = await refreshed(before);

    expect(await me(after)).toBe(200);
  });

  it.each(['login', 'refresh'])(
    'whose user is changed during a %s gets the roles of after the change',
    async (what) => {
      const username = `racing-${what}`;
      await server.createUser({ username, roles: ['sales'] });
      const first = await server.login(username);
      const changing = await database.connect('superuser');
      await changing.query('BEGIN');
      await changing.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE username = $1`, [username]);

      const asked = what === 'login' ? server.login(username) : refreshed(first);
      await eventually('a statement that waits for the change', async () => {
        const { rows } = await superuser.query(
          `SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE '%keyturn.sessions%'`,
          [database.name],
        );
        return rows.length === 1;
      });
      await changing.query('COMMIT');
      const pair = await asked;
      await server.hearNews();

      expect(readToken(pair.access_token).claims).toMatchObject({ roles: ['hr'], ver: 2 });
      expect(await me(pair)).toBe(200);
    },
  );

  it('that was ended by hand in psql is over with the next news', async () => {
    const pair = await server.login('anna');
    expect(await me(pair)).toBe(200);

    await superuser.query('UPDATE keyturn.sessions SET ended_at = now() WHERE id = $1', [sessionOf(pair)]);
    await server.hearNews();

    expect(await me(pair)).toBe(401);
  });
});

describe('two servers over one database', () => {
  let other: TestApp;
  beforeAll(async () => {
    other = await startTestApp({ database, settings: { KEK: server.kek, ISSUER: server.url } });
    await server.hearNews();
    await other.hearNews();
  });
  afterAll(() => other?.close());

  const there = async (pair: TestTokenPair): Promise<number> =>
    (await other.ask('/auth/me', { token: pair.access_token })).status;

  it('know the same sessions', async () => {
    const here = await server.login('anna');

    expect([await me(here), await there(here), await me(await other.login('anna'))]).toEqual([200, 200, 200]);
  });

  it('make the same successor of a refresh token', async () => {
    const first = await server.login('anna');

    const [here, elsewhere] = await Promise.all([
      server.refresh(first.refresh_token),
      other.refresh(first.refresh_token),
    ]);

    expect(tokenPair(here).refresh_token).toBe(tokenPair(elsewhere).refresh_token);
  });

  it('end a session on both when the other has heard the news', async () => {
    const pair = await server.login('anna');
    expect([await me(pair), await there(pair)]).toEqual([200, 200]);

    await server.ask('/auth/logout', { method: 'POST', token: pair.access_token });
    await other.hearNews();

    expect([await me(pair), await there(pair)]).toEqual([401, 401]);
  });

  it('follow a session whose idle limit a refresh on the other has moved', async () => {
    const first = await server.login('anna');
    expect([await me(first), await there(first)]).toEqual([200, 200]);
    await pass(IDLE - minute);
    const next = await refreshed(first);
    await pass(2 * minute);
    await other.hearNews();

    expect([await me(next), await there(next)]).toEqual([200, 200]);
  });
});
