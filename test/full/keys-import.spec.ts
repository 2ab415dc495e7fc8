import { createSecretKey, randomBytes } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';
import { z } from 'zod';
import { SYSTEM } from '../../src/database/change.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import type { SigningKey } from '../../src/keys/signing-key.js';
import { history } from '../support/history.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { forge, readToken, signedBy } from '../support/tokens.js';
import { keyturnBeside, temporaryFolder, type Folder } from '../exchange/support/cli.js';
import { ecPair, jwk, pem, rsaPair } from '../exchange/support/keys.js';

jest.setTimeout(60_000); // each command is a process of its own

const minute = 60_000;
const importedSchema = z.object({ standby: z.string(), displaced: z.string(), takesOverAt: z.iso.datetime() });
const jwksSchema = z.object({ keys: z.array(z.looseObject({ kid: z.string(), kty: z.string(), alg: z.string() })) });

let database: TestDatabase;
let server: TestApp;
let folder: Folder;
let keyturn: ReturnType<typeof keyturnBeside>;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256' } });
  await server.createUser({ username: 'anna' });
  folder = await temporaryFolder();
  keyturn = keyturnBeside(server, database);
});
afterAll(async () => {
  await folder.remove();
  await server.close();
  await database.drop();
});
beforeEach(async () => {
  await server.tick();
  await server.hearNews(); // also signs the register of servers: the clock may have been moved by days
});

const keys = async (): Promise<readonly SigningKey[]> => (await server.app.get(SigningKeyStore).all()).keys;
const standby = async (): Promise<SigningKey | undefined> =>
  (await keys()).findLast((key) => key.signs && key.revokedAt === null);
const jwks = async (): Promise<JSONWebKeySet> => jwksSchema.parse((await server.ask('/.well-known/jwks.json')).body);

/** Moves the clock until the standby signs. */
async function takeover(): Promise<void> {
  const key = await standby();
  const { now } = await server.app.get(SigningKeyStore).look();
  await database.moveClock((key?.activatesAt ?? now) - now + 1_000);
  await server.hearNews();
  await server.tick();
}

describe('a pair from a file', () => {
  it('becomes the standby, takes over when that was due, signs, and its token verifies through JWKS', async () => {
    const pair = rsaPair(3072);
    const path = await folder.write('moving-in.pem', pem(pair.privateKey, 'pkcs8'));
    const before = await standby();

    const said = await keyturn([
      'keys',
      'import',
      path,
      '--kid',
      'main_2024',
      '--algorithm',
      'PS256',
      '--reason',
      'moving in',
      '--json',
    ]);

    expect(said).toMatchObject({ code: 0, err: '' });
    const { standby: kid, displaced, takesOverAt } = importedSchema.parse(JSON.parse(said.out));
    expect([kid, displaced, takesOverAt]).toEqual([
      'main_2024',
      before?.kid,
      new Date(before?.activatesAt ?? 0).toISOString(),
    ]);
    const client = await database.connect('owner');
    const event = (await history(client)).findLast((entry) => entry.said.kid === 'main_2024');
    expect(event?.said).toMatchObject({ reason: 'moving in', new: { origin: 'imported' } });

    await server.hearNews();
    expect((await jwks()).keys.map((key) => key.kid)).toContain('main_2024');
    await takeover();
    const { access_token: token } = await server.login('anna');
    expect(readToken(token).header).toEqual({ alg: 'PS256', kid: 'main_2024', typ: 'at+jwt' });
    expect((await server.ask('/auth/me', { token })).status).toBe(200);
    const { now } = await server.app.get(SigningKeyStore).look();
    await expect(
      jwtVerify(token, createLocalJWKSet(await jwks()), { currentDate: new Date(now), issuer: server.url }),
    ).resolves.toMatchObject({ protectedHeader: { kid: 'main_2024' } });
  });

  it.each([
    ['PKCS#1', () => pem(rsaPair().privateKey, 'pkcs1')],
    ['SEC1', () => pem(ecPair('P-384').privateKey, 'sec1')],
    ['a JWK', () => JSON.stringify(jwk(ecPair('P-521').privateKey))],
  ])('may be %s, and gets a kid of ours', async (_format, text) => {
    const path = await folder.write('pair', text());

    const { code, out } = await keyturn(['keys', 'import', path]);

    const published = await standby();
    expect(code).toBe(0);
    expect(out).toContain(`${published?.kid} is published and takes over 20`);
    expect(published).toMatchObject({
      origin: 'imported',
      kid: `${published?.version}-${published?.thumbprint?.slice(0, 8)}`,
    });
  });

  it('may be encrypted; the passphrase comes from a file of its own or from standard input', async () => {
    const passphrase = 'seven lanterns';
    const path = await folder.write('encrypted.pem', pem(ecPair('P-256').privateKey, 'pkcs8', passphrase));
    const secret = await folder.write('passphrase', `${passphrase}\n`);
    const open = await folder.write('open-passphrase', passphrase, 0o644);

    const refusals = [
      await keyturn(['keys', 'import', path], 'eight lanterns\n'),
      await keyturn(['keys', 'import', path, '--passphrase-file', open]),
    ];
    expect(refusals.map(({ code, err }) => [code, err])).toEqual([
      [1, expect.stringMatching(/does not open with this passphrase/)],
      [1, expect.stringMatching(/chmod 600/)],
    ]);
    expect(await keyturn(['keys', 'import', path, '--kid', 'by-file', '--passphrase-file', secret])).toMatchObject({
      code: 0,
    });
    expect(await keyturn(['keys', 'import', path, '--kid', 'by-input'], `${passphrase}\n`)).toMatchObject({ code: 0 });
    expect((await keys()).map(({ kid }) => kid)).toEqual(expect.arrayContaining(['by-file', 'by-input']));
  });

  it('may be an HMAC secret, which nobody is shown', async () => {
    const k = randomBytes(48);
    const path = await folder.write(
      'secret.jwk',
      JSON.stringify({ kty: 'oct', k: k.toString('base64url'), alg: 'HS384' }),
    );

    expect(await keyturn(['keys', 'import', path])).toMatchObject({ code: 0 });
    const published = await standby();
    await takeover();
    const { access_token: token } = await server.login('anna');

    expect(readToken(token).header).toMatchObject({ alg: 'HS384', kid: published?.kid });
    expect((await server.ask('/auth/me', { token })).status).toBe(200);
    await expect(jwtVerify(token, createSecretKey(k), { currentDate: new Date(await clock()) })).resolves.toBeDefined();
    expect((await jwks()).keys.filter(({ kty, kid }) => kty === 'oct' || kid === published?.kid)).toEqual([]);
    expect(await keyturn(['keys', 'export', published?.kid ?? '', '--format', 'jwk'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/never given out/),
    });
  });

  it('is refused while others may read it, and nothing has changed then', async () => {
    const path = await folder.write('shared.pem', pem(ecPair('P-256').privateKey, 'pkcs8'));
    await chmod(path, 0o640);
    const before = await keys();

    const { code, err } = await keyturn(['keys', 'import', path]);

    expect([code, err]).toEqual([1, expect.stringContaining(`chmod 600 ${path}`)]);
    expect(await keys()).toEqual(before);
  });

  it('is refused under the kid of another, and once its pair was revoked', async () => {
    const path = await folder.write('again.pem', pem(ecPair('P-256').privateKey, 'pkcs8'));
    const taken = (await keys())[0]?.kid ?? '';

    expect(await keyturn(['keys', 'import', path, '--kid', taken])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/is taken here.*--kid imported-/),
    });
    expect(await keyturn(['keys', 'import', path, '--kid', 'leaking'])).toMatchObject({ code: 0 });
    await server.app.get(SigningKeyStore).revoke(SYSTEM, 'leaking', 'stolen');
    expect(await keyturn(['keys', 'import', path, '--kid', 'again'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/pair of leaking, which was revoked \(stolen\)/),
    });
  });

  it('is refused with --verify-only, as a public key is without it', async () => {
    const pair = ecPair('P-256');
    const own = await folder.write('own.pem', pem(pair.privateKey, 'pkcs8'));
    const open = await folder.write('open.pem', pem(pair.publicKey, 'spki'), 0o644);

    expect((await keyturn(['keys', 'import', own, '--verify-only'])).err).toMatch(/leave --verify-only out/);
    expect((await keyturn(['keys', 'import', open])).err).toMatch(/say --verify-only/);
  });
});

const clock = async (): Promise<number> => (await server.app.get(SigningKeyStore).look()).now;
async function moveClockTo(instant: number): Promise<void> {
  await database.moveClock(instant - (await clock()));
  await server.hearNews();
}

/** As a Python program writes a time: UTC, and it does not say so. */
const naive = (at: number): string => new Date(at).toISOString().replace('T', ' ').replace('Z', '000');

describe('a list of keys that only verify', () => {
  it('verifies our tokens until the end of each entry, and never signs', async () => {
    const now = await clock();
    const [rsa, ec] = [rsaPair(), ecPair('P-256')];
    const path = await folder.write(
      'keys.json',
      JSON.stringify([
        {
          kid: 7,
          public_key: pem(rsa.publicKey, 'spki'),
          created_at: naive(now - 60 * minute),
          expires_at: naive(now + 5 * minute),
        },
        {
          kid: '8',
          public_key: pem(ec.publicKey, 'spki'),
          created_at: naive(now - 60 * minute),
          expires_at: naive(now + 60 * minute),
        },
        {
          kid: 6,
          public_key: pem(rsa.publicKey, 'spki'),
          created_at: naive(now - 90 * minute),
          expires_at: naive(now - minute),
        },
      ]),
      0o644,
    );
    const signerBefore = await standby();

    const { code, out } = await keyturn(['keys', 'import', path, '--verify-only']);

    expect(code).toBe(0);
    expect(out).toMatch(
      /^7 \(RS256\) verifies until .*, and never signs\.\n8 \(ES256\) verifies until .*\nPassed over.*: 6\.\n$/,
    );
    await server.hearNews();
    const { access_token: ours } = await server.login('anna');
    const { claims } = readToken(ours);
    const theirs = (kid: string, alg: string, signer = kid === '7' ? rsa : ec): string =>
      forge({ alg, kid, typ: 'at+jwt' }, claims, signedBy(signer.privateKey));
    const status = async (token: string): Promise<number> => (await server.ask('/auth/me', { token })).status;

    expect(await status(theirs('7', 'RS256'))).toBe(200);
    expect(await status(theirs('8', 'ES256'))).toBe(200);
    expect(await status(theirs('6', 'RS256', rsa))).toBe(401);
    expect(await status(theirs('8', 'ES256', ecPair('P-256')))).toBe(401);
    expect((await jwks()).keys.map(({ kid }) => kid)).toEqual(expect.arrayContaining(['7', '8']));
    expect(await standby()).toEqual(signerBefore);

    await moveClockTo(now + 4.5 * minute);
    expect(await status(theirs('7', 'RS256'))).toBe(200);
    await moveClockTo(now + 5 * minute);
    expect(await status(theirs('7', 'RS256'))).toBe(401);
    expect(await status(theirs('8', 'ES256'))).toBe(200);
    expect(await status(ours)).toBe(200);
    expect((await jwks()).keys.map(({ kid }) => kid)).not.toContain('7');
  });

  it('comes as PEM with a kid and an end, and not without', async () => {
    const path = await folder.write('partner.pem', pem(ecPair('P-384').publicKey, 'spki'), 0o644);
    const bring = (...options: readonly string[]) => keyturn(['keys', 'import', path, '--verify-only', ...options]);

    expect((await bring('--kid', 'partner')).err).toMatch(/--expires-at/);
    expect((await bring('--expires-at', '2099-01-01')).err).toMatch(/--kid/);
    expect(await bring('--kid', 'partner', '--expires-at', 'soon')).toMatchObject({ code: 2 });
    expect(await bring('--kid', 'partner', '--expires-at', '2099-01-01')).toMatchObject({ code: 0 });
    expect((await keys()).find(({ kid }) => kid === 'partner')).toMatchObject({
      signs: false,
      algorithm: 'ES384',
      expiresAt: Date.UTC(2099, 0, 1),
    });
  });
});

it('the help has examples', async () => {
  for (const command of ['import', 'export']) {
    expect((await keyturn(['keys', command, '--help'])).out).toMatch(/Examples:\n {2}keyturn keys/);
  }
});
