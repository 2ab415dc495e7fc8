import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';
import { ALGORITHMS } from '../../src/config/settings.js';
import { SYSTEM } from '../../src/database/change.js';
import { KeyReplacement } from '../../src/keys/operations/key-replacement.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import { isHmac } from '../../src/keys/signing-key.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { forge, readToken, signedBy } from '../support/tokens.js';

jest.setTimeout(60_000);

const jwksSchema = z.object({ keys: z.array(z.looseObject({ kid: z.string(), kty: z.string(), alg: z.string() })) });

let database: TestDatabase;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  await server.createUser({ username: 'anna' });
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

/** As a person moves to another algorithm: a standby of it, which takes over at once. */
async function moveTo(algorithm: (typeof ALGORITHMS)[number]): Promise<void> {
  await server.app.get(KeyReplacement).replaceStandby(SYSTEM, { is: 'generated', algorithm });
  await server.hearNews();
  await server.app.get(KeyRotation).rotate(SYSTEM, { force: true });
  await server.hearNews();
}

const status = async (token: string): Promise<number> => (await server.ask('/auth/me', { token })).status;
const jwks = async () => jwksSchema.parse((await server.ask('/.well-known/jwks.json')).body);

describe('the ring turns through every algorithm', () => {
  const tokens: string[] = [];

  it.each(ALGORITHMS)('%s signs and verifies, and the tokens before it stay good', async (algorithm) => {
    await moveTo(algorithm);
    const { access_token: token } = await server.login('anna');
    const signer = server.app.get(KeyRing).signer();

    expect(readToken(token).header).toEqual({ alg: algorithm, kid: signer?.kid, typ: 'at+jwt' });
    expect(signer?.algorithm).toBe(algorithm);
    for (const good of [token, ...tokens]) expect(await status(good)).toBe(200);
    tokens.push(token);

    const published = await jwks();
    const shown = published.keys.find(({ kid }) => kid === signer?.kid);
    expect(published.keys.filter(({ kty, alg }) => kty === 'oct' || alg.startsWith('HS'))).toEqual([]);
    if (isHmac(algorithm)) {
      expect(shown).toBeUndefined();
      return;
    }
    expect(shown?.alg).toBe(algorithm);
    const { now } = await server.app.get(SigningKeyStore).look();
    await expect(
      jwtVerify(token, createLocalJWKSet(published), { currentDate: new Date(now), algorithms: [algorithm] }),
    ).resolves.toMatchObject({ payload: { iss: server.url } });
  });

  it('and none of their tokens is taken under the algorithm of another', async () => {
    const keys = await server.openKeys();
    for (const token of tokens) {
      const { header, claims } = readToken(token);
      const key = keys.find(({ kid }) => kid === header['kid']);
      for (const alg of ALGORITHMS.filter((other) => other !== header['alg'])) {
        expect(await status(forge({ ...header, alg }, claims, () => readSignature(token)))).toBe(401);
        // What one key of the family signs as another of its family would.
        if (key?.algorithm === 'RS256') {
          expect(await status(forge({ ...header, alg }, claims, signedBy(key.privateKey)))).toBe(401);
        }
      }
    }
  });

  it('and one row holds no trace of an HMAC secret outside of the sealed half', async () => {
    const owner = await database.connect('owner');
    const secrets = (await server.openKeys()).filter(({ privateKey }) => privateKey.type === 'secret');
    const { rows } = await owner.query<{ dump: string }>(
      `SELECT (SELECT string_agg(k::text, '') FROM keyturn.signing_keys k) || (SELECT string_agg(entry, '') FROM keyturn.audit_log) AS dump`,
    );
    const { rows: shown } = await owner.query(
      'SELECT FROM keyturn.signing_keys WHERE algorithm LIKE $1 AND (thumbprint, public_jwk) IS DISTINCT FROM (NULL, NULL)',
      ['HS%'],
    );

    expect(secrets.map(({ algorithm }) => algorithm).toSorted()).toEqual(['HS256', 'HS384', 'HS512']);
    expect(shown).toEqual([]);
    for (const { privateKey } of secrets) {
      const bytes = privateKey.export();
      for (const encoding of ['hex', 'base64', 'base64url'] as const) {
        expect(rows[0]?.dump).not.toContain(bytes.toString(encoding).slice(0, 20));
      }
    }
  });
});

const readSignature = (token: string): Buffer => Buffer.from(readToken(token).signature, 'base64url');
