import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { Reconciliation } from '../../src/keys/reconciliation.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { only } from '../support/signing-keys.js';
import { startTestApp, type TestApp, type TestTokenPair } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';

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
  const server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', ...shared } });
  servers.push(server);
  await server.hearNews();
  return server;
}
const status = async (server: TestApp, { access_token: token }: TestTokenPair): Promise<number> =>
  (await server.ask('/auth/me', { token })).status;
const kidOf = ({ access_token: token }: TestTokenPair): string => String(readToken(token).header['kid']);
const count = async (from: string): Promise<number> =>
  only(await superuser.query<{ count: number }>(`SELECT count(*)::integer FROM keyturn.${from}`)).count;
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
    expect(await count(`sessions WHERE end_reason = 'restored'`)).toBe(2);
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
