import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { SYSTEM } from '../../../src/database/change.js';
import { KeyRotation } from '../../../src/keys/operations/key-rotation.js';
import { allKeys, day, hour, minute } from '../../support/signing-keys.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';
import { readToken } from '../../support/tokens.js';

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeEach(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database });
  await server.createUser({ username: 'anna' });
  await server.hearNews();
});
afterEach(async () => {
  await server?.close();
  await database?.drop();
});

async function passTime(milliseconds: number): Promise<void> {
  await database.moveClock(milliseconds);
  await server.hearNews();
  await server.tick();
  await server.hearNews();
}

/** Logs in and shows the token. @returns the version that signed it */
async function signedBy(): Promise<number> {
  const { access_token: token } = await server.login('anna');
  expect((await server.ask('/auth/me', { token })).status).toBe(200);
  return Number.parseInt(String(readToken(token).header['kid']), 10);
}

async function signers(): Promise<readonly number[]> {
  const { rows } = await superuser.query<{ version: number }>(
    'SELECT version FROM keyturn.signing_keys WHERE signs AND revoked_at IS NULL AND tstzrange(activates_at, retires_at) @> keyturn.clock()',
  );
  return rows.map(({ version }) => version);
}

const wholeHistory = async (): Promise<unknown> =>
  (await superuser.query('SELECT ok, problem FROM audit.verify_history()')).rows;

it('a clock set back behind the first key leaves it to sign, then and when the time has come again', async () => {
  expect(await signedBy()).toBe(1);
  await passTime(-hour);
  expect([await signedBy(), await signers()]).toEqual([1, [1]]);

  await passTime(hour + minute);
  expect([await signedBy(), await signers()]).toEqual([1, [1]]);
  expect(await allKeys(superuser)).toHaveLength(2);
  expect(await wholeHistory()).toEqual([{ ok: true, problem: null }]);
});

it('a clock set back behind a takeover leaves the key to sign that has its private half', async () => {
  await passTime(40 * day);
  await passTime(hour);
  expect((await allKeys(superuser)).map((key) => key.private_key_destroyed_at !== null)).toEqual([true, false, false]);

  await passTime(-15 * day);
  expect([await signedBy(), await signers()]).toEqual([2, [2]]);
  expect(await wholeHistory()).toEqual([{ ok: true, problem: null }]);
});

it('a key can be revoked although the clock was set back behind it, and the standby takes over', async () => {
  await passTime(-hour);
  const [first] = await allKeys(superuser);
  await server.app.get(KeyRotation).revoke(SYSTEM, first?.kid ?? '', 'leaked');
  await passTime(-minute);

  expect([await signedBy(), await signers()]).toEqual([2, [2]]);
  expect(await wholeHistory()).toEqual([{ ok: true, problem: null }]);
});
