import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { KeyRing } from '../../../src/keys/ring/key-ring.js';
import { SigningKeyStore } from '../../../src/keys/store/signing-key-store.js';
import { newPair, only } from '../../support/signing-keys.js';
import { members, startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';

let database: TestDatabase;
let superuser: Client;
let server: TestApp;

beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database });
  await server.createUser({ username: 'clerk' });
});
afterAll(async () => {
  await server?.close();
  await database.drop();
});

/** Of the right shape, and no point of the curve. */
const NO_POINT = { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) };

/** As somebody at psql would type it: a key that only verifies. */
async function typeKey(kid: string, publicJwk: unknown, algorithm = 'ES256'): Promise<void> {
  await superuser.query(
    `INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, public_jwk, thumbprint, published_at,
       activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail)
     SELECT max(version) + 1, $1, $2, false, 'imported', $3, $4, now(), now(), now(), now() + interval '1 day',
       interval '0', interval '1 hour', interval '1 hour'
     FROM keyturn.signing_keys`,
    [kid, algorithm, JSON.stringify(publicJwk), kid.padEnd(43, 'x')],
  );
}

const ready = async (): Promise<Readonly<Record<string, unknown>>> => members((await server.ask('/health/ready')).body);
const publicKids = async (): Promise<string> => JSON.stringify((await server.ask('/.well-known/jwks.json')).body);

describe('a public key put there by hand that is none', () => {
  beforeAll(async () => {
    await typeKey('damaged', NO_POINT);
    await server.hearNews();
  });

  it('is not published', async () => {
    expect(await publicKids()).not.toContain('damaged');
  });

  it('leaves the server following what comes after it', async () => {
    const { access_token: token } = await server.login('clerk');
    const signer = server.app.get(KeyRing).signer()?.kid ?? '';
    expect((await server.ask('/auth/me', { token })).status).toBe(200);

    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE kid = $1`,
      [signer],
    );
    await server.hearNews();

    expect((await server.ask('/auth/me', { token })).status).toBe(401);
    expect(await publicKids()).not.toContain(signer);
    expect(server.app.get(KeyRing).signer()?.kid).not.toBe(signer);
  });

  it('is said in the log once, and by health as long as it is there', async () => {
    await server.tick();

    expect(server.log.filter((line) => line.startsWith('error') && line.includes('damaged'))).toHaveLength(1);
    expect(await ready()).toMatchObject({
      status: 'ready',
      problems: [expect.stringContaining('Key damaged cannot be used')],
    });
  });
});

describe('a key at no instant, where the constraint was taken away', () => {
  it('is named by health, and keeps the server from no other key', async () => {
    await superuser.query('ALTER TABLE keyturn.signing_keys DROP CONSTRAINT ck_signing_keys_instants');
    await superuser.query(
      `INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, public_jwk, thumbprint, published_at,
         activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail)
       SELECT max(version) + 1, 'never', 'ES256', false, 'imported', $1, $2, now(), 'infinity', 'infinity', 'infinity',
         interval '0', interval '1 hour', interval '1 hour'
       FROM keyturn.signing_keys`,
      [(await newPair()).publicJwk, 'never'.padEnd(43, 'x')],
    );

    await server.hearNews();

    expect((await ready())['problems']).toContainEqual(expect.stringContaining('Key never cannot be used'));
    expect(await publicKids()).not.toContain('never');
    expect((await server.login('clerk')).access_token).toEqual(expect.any(String));
  });
});

describe('keys that were heard of and could not be loaded', () => {
  it('are said by health until they are', async () => {
    const store = server.app.get(SigningKeyStore);
    const load = store.load.bind(store);
    store.load = () => Promise.reject(new Error('a test broke it'));
    await typeKey('another', NO_POINT);
    await expect(server.hearNews()).rejects.toThrow('a test broke it');
    const loaded = server.app.get(KeyRing).generation;
    const newest = only(
      await superuser.query<{ newest: number }>('SELECT keyturn.key_generation()::integer AS newest'),
    );

    expect((await ready())['problems']).toContainEqual(
      expect.stringContaining(`as of event ${loaded} of the history, and event ${newest.newest} is known of`),
    );

    store.load = load;
    await server.hearNews();
    expect(JSON.stringify((await ready())['problems'])).not.toContain('known of');
  });
});
