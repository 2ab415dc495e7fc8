import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import type { ClientBase } from 'pg';
import { allKeys, day, hour, minute, second } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { startTestApp } from '../support/test-app.js';
import { administrator, claimsOf, inWords, kidOf, logIn, me, refresh, rotate, send } from './support/client.js';
import { endAll, freePort, settingsFor, startKeyturn, type Settings } from './support/keyturn.js';
import { say } from './support/load.js';
import { ringFaults, signerAndStandby } from './support/ring-facts.js';
import { eventually } from './support/wait.js';

jest.setTimeout(120_000);

const issuer = 'http://keyturn.test';

let database: TestDatabase;
let db: ClientBase;
let settings: Settings;
beforeEach(async () => {
  database = await createTestDatabase();
  db = await database.connect('superuser');
  settings = settingsFor(database, { PORT: String(await freePort()), ISSUER: issuer, KEY_POLL_INTERVAL: '50ms' });
});
afterEach(async () => {
  jest.useRealTimers();
  await endAll();
  await database.drop();
});

/** Milliseconds since 1970 by the database's clock. */
async function databaseNow(): Promise<number> {
  const { rows } = await db.query<{ now: Date }>('SELECT keyturn.clock() AS now');
  return rows[0]?.now.getTime() ?? 0;
}

/** Waits until a server has heard the time: what it issues and what it judges agree. */
async function heard(url: string): Promise<void> {
  await eventually('a token that its issuer knows the time of', async () => {
    const { access_token: token } = await logIn(url);
    return (await me(url, token)).status === 200;
  });
}

describe('time is the database’s', () => {
  it.each([
    ['five minutes ahead of', 5 * minute],
    ['five minutes behind', -5 * minute],
    ['two hours ahead of', 2 * hour],
  ])('where its clock is %s the machines’, tokens are issued and judged by it', async (_, offset) => {
    await database.setClockOffset(offset);
    const server = await startKeyturn(settings);
    const before = await databaseNow();
    const { access_token: token, refresh_token: spent } = await logIn(server.url);
    const { iat, exp } = claimsOf(token);
    expect(Math.abs(iat * 1_000 - before)).toBeLessThan(5 * second);
    expect(exp - iat).toBe(15 * 60);
    expect(inWords(await me(server.url, token))).toMatch(/^200 /);
    expect((await refresh(server.url, spent)).status).toBe(200);
    expect(await ringFaults(db)).toEqual([]);
  });

  it('when it jumps five minutes ahead, twice, good tokens stay good and those that are over are refused', async () => {
    await database.setClockOffset(-5 * minute);
    const server = await startKeyturn(settings);
    const { access_token: token, refresh_token: spent } = await logIn(server.url);

    for (const offset of [0, 5 * minute]) {
      await database.setClockOffset(offset);
      await heard(server.url);
      expect(inWords(await me(server.url, token))).toMatch(/^200 /);
    }
    await database.moveClock(6 * minute);
    await heard(server.url);
    expect((await me(server.url, token)).status).toBe(401);
    expect((await refresh(server.url, spent)).status).toBe(200);
    expect(await ringFaults(db)).toEqual([]);
  });

  it('when it is set back five minutes right after a rotation, one key signs and what it signs is good', async () => {
    await database.setClockOffset(-3 * hour);
    const server = await startKeyturn(settings);
    await database.setClockOffset(0);
    await heard(server.url);
    const { access_token: administrators } = await logIn(server.url);
    expect((await rotate(server.url, administrators, {})).status).toBe(200);
    await eventually('a new standby', async () => (await signerAndStandby(db)).standby === 3);

    await database.setClockOffset(-5 * minute);
    await heard(server.url);
    const { access_token: token } = await logIn(server.url);
    expect((await me(server.url, token)).status).toBe(200);
    expect(await ringFaults(db)).toEqual([]);

    await database.setClockOffset(0);
    await heard(server.url);
    for (const held of [administrators, token]) expect((await me(server.url, held)).status).toBe(200);
    expect((await signerAndStandby(db)).signer).toBe(2);
    expect(await ringFaults(db)).toEqual([]);
  });
});

/** Only what `Date` says: jose's cache and jwtVerify then live in the database's time. */
const adoptTime = (now: number): unknown =>
  jest.useFakeTimers({
    now,
    doNotFake: [
      ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
      ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
    ],
  });

describe('a year', () => {
  it('of scheduled rotations and emergencies has one signer and a standby after each, and no client that meets an unknown kid', async () => {
    let fetches = 0;
    const { PORT = '', ISSUER = '', KEY_ALGORITHM = '' } = settings;
    const server = await startTestApp({ database, settings: { PORT, ISSUER, KEY_ALGORITHM } });
    await server.createUser({ ...administrator, roles: ['admin'] });
    const { url } = server;
    const keySet = createRemoteJWKSet(new URL('/.well-known/jwks.json', url), {
      [customFetch]: async (address) => {
        fetches += 1;
        const { status, body } = await send(address);
        return Response.json(body, { status });
      },
    });
    /** As a resource server elsewhere would. @returns the kid */
    const verifyOutside = async (token: string): Promise<string> => {
      adoptTime(await databaseNow());
      const { protectedHeader } = await jwtVerify(token, keySet, { issuer, audience: issuer, typ: 'at+jwt' });
      jest.useRealTimers();
      return protectedHeader.kid ?? '';
    };
    const at = async (instant: number): Promise<void> => {
      await database.moveClock(instant - (await databaseNow()));
      await server.hearNews();
    };
    /** What a server finds after it did what it does each minute. */
    const withRing = async (work: (ring: { signer: number; standby: number }) => Promise<void>): Promise<void> => {
      await server.tick();
      await server.hearNews();
      const { signer, standby } = await signerAndStandby(db);
      if (signer === null || standby === null) throw new Error(`signer ${signer}, standby ${standby}`);
      expect(standby).toBe(signer + 1);
      expect(await ringFaults(db)).toEqual([]);
      await work({ signer, standby });
    };
    const key = async (version: number) => (await allKeys(db)).find((one) => one.version === version);
    /** The key changes; the client, which has kept JWKS since a while before, knows the next one. @returns a token of the key before */
    const change = async (takeOver: () => Promise<void>): Promise<string> => {
      const { access_token: before } = await logIn(url);
      const old = await verifyOutside(before);
      const fetched = fetches;
      await takeOver();
      const { access_token: after } = await logIn(url);
      expect(kidOf(after)).not.toBe(old);
      expect(await verifyOutside(after)).toBe(kidOf(after));
      expect(await verifyOutside(before)).toBe(old);
      expect(fetches).toBe(fetched);
      return before;
    };

    const begun = await databaseNow();
    let rotations = 0;
    let emergencies = 0;
    while ((await databaseNow()) - begun <= 365 * day) {
      await withRing(async ({ standby }) => {
        const due = (await key(standby))?.activates_at.getTime() ?? 0;
        await at(due - 5 * minute);
        const before = await change(() => at(due + minute));
        expect((await me(url, before)).status).toBe(200);
        rotations += 1;
      });
      if (rotations % 4 !== 1) continue;
      await withRing(async ({ signer, standby }) => {
        // The lead is an hour. Some clients fetched just now, some nine minutes ago; a fetch is good for ten.
        await at(((await key(standby))?.published_at.getTime() ?? 0) + hour + 10 * minute);
        const { access_token: token } = await logIn(url);
        await verifyOutside(token);
        await at((await databaseNow()) + (rotations % 10) * minute);
        const before = await change(async () => {
          await db.query(
            `UPDATE keyturn.signing_keys SET revoked_at = keyturn.clock(), revocation_reason = 'leaked' WHERE version = $1`,
            [signer],
          );
          await server.hearNews();
          expect((await me(url, token)).status).toBe(401);
        });
        expect((await me(url, before)).status).toBe(401);
        emergencies += 1;
      });
    }

    await withRing(async ({ signer }) => {
      expect(signer).toBe(rotations + emergencies + 1);
      expect([rotations, emergencies]).toEqual([13, 4]);
    });
    await server.close();
    say(`${rotations} rotations, ${emergencies} emergencies, ${fetches} fetches of JWKS by the client`);
  }, 300_000);
});
