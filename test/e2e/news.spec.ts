import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { DataSource } from 'typeorm';
import { SessionMemory } from '../../src/auth/session/session-memory.js';
import { DatabaseClock } from '../../src/database/database-clock.js';
import { News } from '../../src/database/news.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import { startTestApp, type TestApp, type TestTokenPair } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { hour, minute } from '../support/signing-keys.js';
import { readToken } from '../support/tokens.js';

let database: TestDatabase;
let superuser: Client;
let here: TestApp;
let there: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  // Neither polls by itself: between two hearNews() a server is cut off.
  here = await startTestApp({ database });
  there = await startTestApp({ database, settings: { KEK: here.kek, ISSUER: here.url } });
  await here.createUser({ username: 'anna' });
});
beforeEach(async () => {
  await here.hearNews();
  await there.hearNews();
});
afterEach(async () => {
  jest.restoreAllMocks();
  await superuser.query('ROLLBACK');
});
afterAll(async () => {
  await there?.close();
  await here?.close();
  await database?.drop();
});

const status = async (server: TestApp, { access_token: token }: TestTokenPair): Promise<number> =>
  (await server.ask('/auth/me', { token })).status;
const sessionOf = (pair: TestTokenPair): string => String(readToken(pair.access_token).claims['sid']);

/** A session that both servers remember. */
async function known(username = 'anna'): Promise<TestTokenPair> {
  const pair = await here.login(username);
  expect([await status(here, pair), await status(there, pair)]).toEqual([200, 200]);
  return pair;
}

describe('a server that was cut off and is back', () => {
  it('counts as cut off until it knows all that it was told', async () => {
    const clock = there.app.get(DatabaseClock);
    let silence = 0;
    there.app.get(News).subscribe(() => void (silence = clock.silence()));
    clock.followed(performance.now() - 10 * minute);

    await there.hearNews();

    expect([silence >= 10 * minute, clock.silence() < 10 * minute]).toEqual([true, true]);
  });

  it('hears of a session that ended meanwhile, however long ago', async () => {
    const pair = await known();

    await here.ask('/auth/logout', { method: 'POST', token: pair.access_token });
    await database.moveClock(5 * minute);
    expect(await status(there, pair)).toBe(200);
    await there.hearNews();

    expect(await status(there, pair)).toBe(401);
  });

  it('remembers no session when it was away for so long that rows may have been put away', async () => {
    const pair = await known();
    const recalled = () => there.app.get(SessionMemory).recall(sessionOf(pair), 1);
    expect(recalled()).toBeDefined();

    await database.moveClock(2 * hour);
    await there.hearNews();

    expect(recalled()).toBeUndefined();
  });

  it('hears once more what it could not follow the first time', async () => {
    const pair = await known();
    const news = there.app.get(News);
    const heard: string[] = [];
    let failures = 1;
    news.subscribe(({ endedSessions }) => {
      if (failures-- > 0) throw new Error('as when the database goes away in between');
      heard.push(...endedSessions);
    });

    await superuser.query('UPDATE keyturn.sessions SET ended_at = now() WHERE id = $1', [sessionOf(pair)]);
    await expect(news.check()).rejects.toThrow('goes away');
    await news.check();
    await news.check();

    expect(heard).toEqual([sessionOf(pair)]);
  });
});

describe('a standby that lacked the end of history and took over', () => {
  /** From now on another server answers `there`, as far as it can tell. */
  function takeOver(): void {
    const dataSource = there.app.get(DataSource);
    const query = dataSource.query.bind(dataSource);
    jest.spyOn(dataSource, 'query').mockImplementation(async (...asked) => {
      const answer: unknown = await query(...asked);
      if (!asked[0].includes('keyturn.news') || !Array.isArray(answer)) return answer;
      return answer.map((row: object) => ({ ...row, server_started: new Date(0) }));
    });
  }

  it('hides no session that it ended under a number that the lost primary had used', async () => {
    const pair = await known();
    await superuser.query(`BEGIN; SET LOCAL session_replication_role = replica`);
    await superuser.query(
      `UPDATE keyturn.sessions SET ended_at = now(), end_reason = 'logout', ended_in = '3' WHERE id = $1`,
      [sessionOf(pair)],
    );
    await superuser.query('COMMIT');
    await there.hearNews();
    expect(await status(there, pair)).toBe(200);

    takeOver();
    await there.hearNews();

    expect(await status(there, pair)).toBe(401);
  });

  it('leaves the server the keys that it knew until it has loaded them anew', async () => {
    const ring = there.app.get(KeyRing);
    const store = there.app.get(SigningKeyStore);
    jest.spyOn(store, 'load').mockRejectedValue(new Error('no connection left'));

    takeOver();
    await expect(there.hearNews()).rejects.toThrow('no connection left');

    expect((await there.ask('/health/ready')).status).toBe(200);
    expect((await there.ask('/.well-known/jwks.json')).status).toBe(200);
    expect(ring.knows(ring.generation)).toBe(false);
    jest.restoreAllMocks();
    await there.hearNews();
    expect(ring.knows(ring.generation)).toBe(true);
  });

  it('has its keys loaded, although a login had told of as many key events', async () => {
    const ring = there.app.get(KeyRing);
    const { generation } = ring;
    ring.replace(generation, []);

    takeOver();
    await there.hearNews();

    expect([ring.signer()?.version, ring.generation]).toEqual([here.app.get(KeyRing).signer()?.version, generation]);
  });
});

describe('a transaction that is committed long after it began', () => {
  /** News comes in the middle of it, and again when the windows that anybody might think of are over. */
  async function late(change: string, values: readonly unknown[]): Promise<void> {
    await superuser.query('BEGIN');
    await superuser.query(change, [...values]);
    // Others go on, so that its number is not the newest.
    await here.login('anna');
    await there.hearNews();
    await database.moveClock(2 * minute);
    await there.hearNews();
    await superuser.query('COMMIT');
    await there.hearNews();
  }

  it('hides no session that it ended', async () => {
    const pair = await known();

    await late(`UPDATE keyturn.sessions SET end_reason = 'logout' WHERE id = $1`, [sessionOf(pair)]);

    expect(await status(there, pair)).toBe(401);
  });

  it('hides no user whom it disabled', async () => {
    await here.createUser({ username: 'bob' });
    const pair = await known('bob');

    await late('UPDATE keyturn.users SET disabled_at = now() WHERE username = $1', ['bob']);

    expect(await status(there, pair)).toBe(401);
  });

  it('hides no user whose roles it changed', async () => {
    await here.createUser({ username: 'carol', roles: ['hr'] });
    const pair = await known('carol');

    await late(`UPDATE keyturn.users SET roles = '{}' WHERE username = $1`, ['carol']);

    expect(await status(there, pair)).toBe(401);
  });

  it('hides no key that it revoked', async () => {
    const pair = await known();

    await late(`UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE kid = $1`, [
      String(readToken(pair.access_token).header['kid']),
    ]);

    expect(await status(there, pair)).toBe(401);
  });
});
