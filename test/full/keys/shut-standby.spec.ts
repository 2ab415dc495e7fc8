import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { SYSTEM } from '../../../src/database/change.js';
import { KeyReplacement } from '../../../src/keys/operations/key-replacement.js';
import { KeyEncryptionKeys } from '../../../src/keys/vault/key-encryption-keys.js';
import { allKeys, minute, type KeyRow } from '../../support/signing-keys.js';
import { members, startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';
import { readToken } from '../../support/tokens.js';

/** Key 1, which signs, is sealed under the old key-encryption key, and the standby under the new one, which the server has not. */
const old = KeyEncryptionKeys.newLine();
const both = `${KeyEncryptionKeys.newLine()},${old}`;

let database: TestDatabase;
let psql: Client;
let servers: TestApp[];
const start = async (kek: string): Promise<TestApp> => {
  const server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', KEK: kek } });
  servers.push(server);
  return server;
};
let server: TestApp;
let standby: KeyRow | undefined;
beforeEach(async () => {
  servers = [];
  database = await createTestDatabase();
  psql = await database.connect('app');
  const first = await start(old);
  await first.createUser({ username: 'anna', roles: ['admin'] });
  await first.close();
  const rich = await start(both);
  await rich.app.get(KeyReplacement).replaceStandby(SYSTEM, { is: 'generated' });
  await rich.close();
  server = await start(old);
  standby = (await allKeys(psql)).at(-1);
});
afterEach(async () => {
  for (const each of servers.toReversed()) await each.close();
  await database?.drop();
});

const revokeByHand = async (): Promise<void> => {
  await psql.query(
    `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE version = 1`,
  );
};
const logIn = (at: TestApp) =>
  at.ask('/auth/login', { json: { username: 'anna', password: 'seven lanterns over quiet water' } });
const signedBy = async (at: TestApp): Promise<unknown> =>
  readToken(String(members((await logIn(at)).body)['access_token'])).header['kid'];
const problems = async (): Promise<string> => String(members((await server.ask('/health/ready')).body)['problems']);
const now = async (): Promise<KeyRow | undefined> => (await allKeys(psql)).find(({ kid }) => kid === standby?.kid);
const wholeHistory = async (): Promise<unknown> => {
  const superuser = await database.connect('superuser');
  return (await superuser.query('SELECT ok, problem FROM audit.verify_history()')).rows;
};

describe('a standby that no running server opens, when the signer is revoked', () => {
  it('in psql: it does not take over, not even when it is due, until a server starts that opens it', async () => {
    await revokeByHand();
    expect(await now()).toEqual(standby);
    await server.hearNews();
    expect(members((await logIn(server)).body)).toMatchObject({ code: 'signing_unavailable' });
    const inWords = `no running server opens ${standby?.kid}, which waits; give the servers its key-encryption key`;
    expect(server.log.join('\n')).toContain(inWords);
    expect(await problems()).toContain(inWords);
    // Whoever looks after the keys leaves it alone, and what leaked is gone all the same.
    expect(await now()).toEqual(standby);
    expect((await allKeys(psql))[0]?.private_key_destroyed_at).not.toBeNull();

    await database.moveClock((standby?.activates_at.getTime() ?? 0) - Date.now() - minute);
    await expect(server.tick()).rejects.toThrow(inWords);
    await database.moveClock(2 * minute);
    expect((await now())?.activates_at.getTime()).toBeGreaterThan(standby?.activates_at.getTime() ?? 0);
    expect(await allKeys(psql)).toHaveLength(3);

    const rich = await start(both);
    expect(await now()).toMatchObject({ activation: 'emergency', revoked_at: null });
    expect(await signedBy(rich)).toBe(standby?.kid);
    expect(await allKeys(psql)).toHaveLength(4);
    expect(await wholeHistory()).toEqual([{ ok: true, problem: null }]);
  });

  it('by HTTP: the receipt says so; one that replaces it signs at once', async () => {
    const { access_token: token } = await server.login('anna');
    const { kid } = readToken(token).header;
    const answer = await server.ask(`/keys/${String(kid)}/revoke`, { token, json: { reason: 'leaked' } });
    expect(answer).toMatchObject({ status: 200, body: { signer: null, shutStandby: standby?.kid } });
    await server.hearNews();

    const before = Date.now();
    const { standby: next, takesOverAt } = await server.app
      .get(KeyReplacement)
      .replaceStandby(SYSTEM, { is: 'generated' });
    expect(Math.abs(takesOverAt - before)).toBeLessThan(minute);
    await server.tick();
    await server.hearNews();
    expect(await signedBy(server)).toBe(next);
    expect(await now()).toMatchObject({ revocation_reason: 'superseded' });
    expect((await allKeys(psql))[3]).toMatchObject({ kid: next, activation: 'emergency' });
    expect(await problems()).toBe('');
    expect(await wholeHistory()).toEqual([{ ok: true, problem: null }]);
  });

  it('cannot be let take over by hand either', async () => {
    const takeOver = psql.query(
      `UPDATE keyturn.signing_keys SET
         activation = CASE version WHEN 1 THEN activation ELSE 'forced' END,
         activates_at = CASE version WHEN 1 THEN activates_at ELSE keyturn.begin_change() END,
         retires_at = CASE version WHEN 1 THEN keyturn.begin_change() END
       WHERE version IN (1, $1)`,
      [standby?.version],
    );
    await expect(takeOver).rejects.toThrow(/signs on until another takes over that a server opens/);
  });

  it('takes over while one of two servers opens it', async () => {
    await start(both);
    await revokeByHand();
    expect(await now()).toMatchObject({ activation: 'emergency' });
  });

  it('is not opened by a server that was seen in the time before the clock was set back', async () => {
    await psql.query(
      `INSERT INTO keyturn.replicas (id, code_version, generation, kek_ids, opens, shut, last_seen_at)
       VALUES (gen_random_uuid(), '0', 9, '{}', $1, '{}', keyturn.clock() + interval '1 hour')`,
      [[standby?.version]],
    );
    await revokeByHand();
    expect(await now()).toEqual(standby);
  });

  it('takes over while no server runs: whether one will open it is not known', async () => {
    await server.close();
    await revokeByHand();
    expect(await now()).toMatchObject({ activation: 'emergency' });
  });
});
