import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { OneTimeCodes } from '../../../src/auth/codes/one-time-codes.js';
import { UserSessions } from '../../../src/auth/session/user-sessions.js';
import { News } from '../../../src/database/news.js';
import { Reconciliation } from '../../../src/keys/operations/reconciliation.js';
import { KeyRing } from '../../../src/keys/ring/key-ring.js';
import { day, only } from '../../support/signing-keys.js';
import { PASSWORD, startTestApp, type TestApp, type TestTokenPair } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';
import { readToken } from '../../support/tokens.js';

let database: TestDatabase;
let superuser: Client;
let servers: TestApp[];
beforeEach(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  servers = [];
  const first = await start();
  await first.createUser({ username: 'anna', roles: ['admin'] });
});
afterEach(async () => {
  for (const server of servers) await server.close();
  await database.drop();
});

async function start(): Promise<TestApp> {
  const [first] = servers;
  const shared = first ? { KEK: first.kek, ISSUER: first.url } : {};
  const server = await startTestApp({ database, settings: shared });
  servers.push(server);
  await server.hearNews();
  return server;
}
const status = async (server: TestApp, { access_token: token }: TestTokenPair): Promise<number> =>
  (await server.ask('/auth/me', { token })).status;
const kidOf = ({ access_token: token }: TestTokenPair): string => String(readToken(token).header['kid']);
const count = async (from: string): Promise<number> =>
  only(await superuser.query<{ count: number }>(`SELECT count(*)::integer FROM keyturn.${from}`)).count;
const annasId = async (): Promise<string> =>
  only(await superuser.query<{ id: string }>('SELECT id FROM keyturn.users')).id;
const reconciled = () => count(`audit_log WHERE event = 'reconciled'`);
const verdict = async () => only(await superuser.query('SELECT ok, problem FROM audit.verify_history()'));

/** What pg_dump and pg_restore do to rows: the same values, written by another transaction. */
async function dump(): Promise<() => Promise<void>> {
  const tables = await superuser.query<{ name: string; columns: string }>(`
    SELECT c.relname AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'keyturn'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition AND a.attnum > 0
      AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname NOT IN ('migrations', 'current_change')
    GROUP BY c.relname`);
  await superuser.query('CREATE SCHEMA dump');
  for (const { name } of tables.rows) await superuser.query(`CREATE TABLE dump.${name} AS TABLE keyturn.${name}`);
  return async () => {
    await superuser.query(`BEGIN; SET LOCAL session_replication_role = replica`);
    for (const { name, columns } of tables.rows) {
      await superuser.query(
        `DELETE FROM keyturn.${name}; INSERT INTO keyturn.${name} (${columns}) SELECT ${columns} FROM dump.${name}`,
      );
    }
    await superuser.query('COMMIT');
  };
}

describe('an older dump that is restored', () => {
  it('under running servers: nothing revoked or ended revives, and all go on under a new key', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const second = await start();
    const [ended, other] = [await first.login('anna'), await first.login('anna')];
    expect([await status(first, ended), await status(second, ended)]).toEqual([200, 200]);
    const restore = await dump();
    await first.ask('/auth/logout', { method: 'POST', token: ended.access_token });
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE kid = $1`,
      [kidOf(ended)],
    );
    for (const server of servers) await server.hearNews();
    await restore();

    for (const server of [first, second, first, second]) await server.hearNews();

    for (const server of servers) {
      expect([await status(server, ended), await status(server, other)]).toEqual([401, 401]);
      expect(await server.refresh(other.refresh_token)).toMatchObject({ status: 400 });
      expect(server.app.get(KeyRing).signer()).toMatchObject({ activation: 'emergency' });
      expect(await status(server, await server.login('anna'))).toBe(200);
    }
    expect(kidOf(await first.login('anna'))).toBe(kidOf(await second.login('anna')));
    expect([await reconciled(), await verdict()]).toEqual([1, { ok: true, problem: null }]);
    expect(await first.app.get(UserSessions).list(await annasId())).toHaveLength(4);
  });

  it('although history had not grown since: a session that ended stays ended', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const pair = await first.login('anna');
    const restore = await dump();
    await first.ask('/auth/logout', { method: 'POST', token: pair.access_token });
    await restore();
    await first.hearNews();
    await first.hearNews();

    expect(await status(first, pair)).toBe(401);
    expect(await reconciled()).toBe(1);
  });

  it('while no server ran: the first one that starts reconciles it, once', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const pair = await first.login('anna');
    const restore = await dump();
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE kid = $1`,
      [kidOf(pair)],
    );
    await restore();

    const next = await start();

    expect(await status(next, pair)).toBe(401);
    expect(await status(next, await next.login('anna'))).toBe(200);
    await start();
    expect([await reconciled(), await verdict()]).toEqual([1, { ok: true, problem: null }]);
  });

  it('is kept as it is when a person says that nothing was lost', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const pair = await first.login('anna');
    await (
      await dump()
    )();
    await first.app.get(Reconciliation).run({ reason: 'moved with every server stopped' }, true);
    await first.hearNews();

    expect(await status(first, pair)).toBe(200);
    const next = await start();
    expect([await status(next, pair), await reconciled()]).toEqual([200, 1]);
  });
});

describe('a reconciliation', () => {
  it('voids every code, and those made afterwards work', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const codes = first.app.get(OneTimeCodes);
    await superuser.query(`UPDATE keyturn.users SET roles = '{}'`);
    const [before, reconciliation] = [await codes.issueSetupCode(), first.app.get(Reconciliation)];
    await reconciliation.run({}, true);
    expect(await codes.look(before ?? '', ['setup'])).toBeDefined();

    await reconciliation.run({}, false);

    const after = await codes.issueSetupCode();
    expect(await codes.look(before ?? '', ['setup'])).toBeUndefined();
    expect(await codes.look(after ?? '', ['setup'])).toBeDefined();
    const redeemed = codes.redeem({ username: 'x' }, { code: before ?? '', username: 'x', password: PASSWORD });
    await expect(redeemed).rejects.toMatchObject({ code: 'invalid_code' });
  });

  it('happens once, however many find the copy, on a machine whose clock is behind too', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    await database.moveClock(-day);
    const reconciliation = first.app.get(Reconciliation);
    for (const heard of [1, 1]) await reconciliation.follow(true, heard);

    expect(await reconciled()).toBe(1);
  });

  it('is a trouble that readiness tells of while it does not succeed, and keeps the rest of the news back', async () => {
    const [first] = servers;
    if (!first) throw new Error('no server');
    const problems = async () => (await first.ask('/health/ready')).body;
    const told = { problems: expect.arrayContaining([expect.stringMatching(/older copy .* not reconciled yet/)]) };
    await (
      await dump()
    )();
    await superuser.query(`ALTER FUNCTION keyturn.reconcile(text, boolean, bigint) RENAME TO reconcile_later`);

    await expect(first.app.get(News).check()).rejects.toThrow();
    expect(await problems()).toMatchObject(told);

    await superuser.query(`ALTER FUNCTION keyturn.reconcile_later(text, boolean, bigint) RENAME TO reconcile`);
    await first.hearNews();
    expect(await problems()).not.toMatchObject(told);
    expect(await reconciled()).toBe(1);
  });
});

it('a history that is shorter than a server knew is reconciled, though no row is a copy', async () => {
  const [first] = servers;
  if (!first) throw new Error('no server');
  const pair = await first.login('anna');
  expect(await status(first, pair)).toBe(200);
  await first.createUser({ username: 'bob' });
  await first.hearNews();
  await superuser.query(`BEGIN; SET LOCAL session_replication_role = replica;
    DELETE FROM keyturn.audit_checkpoints;
    DELETE FROM keyturn.audit_log WHERE seq = (SELECT max(seq) FROM keyturn.audit_log);
    DELETE FROM keyturn.users WHERE username = 'bob'; COMMIT`);

  await first.hearNews();
  await first.hearNews();

  expect(await status(first, pair)).toBe(401);
  expect([await reconciled(), await verdict()]).toEqual([1, { ok: true, problem: null }]);
});
