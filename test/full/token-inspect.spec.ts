import { createSecretKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import jsonwebtoken from 'jsonwebtoken';
import { TokenInspector, type Inspection } from '../../src/cli/token-inspector.js';
import { SYSTEM } from '../../src/database/change.js';
import { KeyReplacement } from '../../src/keys/operations/key-replacement.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import type { Algorithm } from '../../src/keys/signing-key.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import { startTestApp, type OpenedKey, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { forge, readToken, segment, signedBy } from '../support/tokens.js';
import { keyturnBeside } from '../exchange/support/cli.js';
import { ecPair } from '../exchange/support/keys.js';

jest.setTimeout(60_000);

const minute = 60_000;

let database: TestDatabase;
let server: TestApp;
let token: string;
let signer: OpenedKey;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256' } });
  await server.createUser({ username: 'anna', roles: ['hr'] });
  token = (await server.login('anna')).access_token;
  const [first] = await server.openKeys();
  if (!first) throw new Error('no key was opened');
  signer = first;
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

/** Each time with a ring and a memory of its own, as a command has. */
const inspect = (text: string): Promise<Inspection> => TokenInspector.over(server.app, true).inspect(text);
const seconds = async (): Promise<number> => Math.floor((await server.app.get(SigningKeyStore).look()).now / 1_000);

async function moveTo(algorithm: Algorithm): Promise<void> {
  await server.app.get(KeyReplacement).replaceStandby(SYSTEM, { is: 'generated', algorithm });
  await server.hearNews();
  await server.app.get(KeyRotation).rotate(SYSTEM, { force: true });
  await server.hearNews();
}

describe('a token of ours', () => {
  it('is judged as the guard does, with its key and the state of that', async () => {
    expect(await inspect(token)).toMatchObject({
      good: true,
      judgedBy: 'the guard',
      reason: null,
      verdict: 'The guard accepts it, as anna (hr).',
      key: { kid: signer.kid, version: 1, algorithm: 'ES256', state: 'active' },
      signature: 'good',
      claims: { sub: readToken(token).claims['sub'], iss: server.url },
    });
  });

  it.each([
    ['an altered payload', 'signature', () => altered({ sub: 'f'.repeat(8) })],
    ['an unknown kid', 'unknown_kid', () => signedAgain({ kid: '9-abcdefgh' })],
    ['the algorithm of another', 'algorithm', () => signedAgain({ alg: 'RS256' })],
    ['another issuer', 'issuer', () => signedAgain({}, { iss: 'https://elsewhere.example' })],
    ['another audience', 'audience', () => signedAgain({}, { aud: 'elsewhere' })],
    ['a life too long', 'lifetime', () => signedAgain({}, { exp: Number(readToken(token).claims['exp']) + 90_000 })],
    ['no such session', 'session', () => signedAgain({}, { sid: '00000000-0000-4000-8000-000000000000' })],
  ])('is refused for %s', async (_name, reason, make) => {
    const inspection = await inspect(make());

    expect(inspection).toMatchObject({ good: false, judgedBy: 'the guard', reason });
    expect(inspection.verdict).toMatch(/^The guard refuses it: .{20,}\.$/);
    expect(inspection.verdict).not.toContain(`: ${reason}`); // in words
  });

  it('is refused once it has expired, its session ended, or its key was revoked; the key is found all the same', async () => {
    const { access_token: ended } = await server.login('anna');
    await server.ask('/auth/logout', { method: 'POST', token: ended });
    expect(await inspect(ended)).toMatchObject({ reason: 'session', signature: 'good', key: { state: 'active' } });

    const { access_token: late } = await server.login('anna');
    await database.moveClock(20 * minute);
    expect(await inspect(late)).toMatchObject({ reason: 'expired', signature: 'good' });
    await database.setClockOffset(0);
    await server.hearNews();

    await moveTo('ES384');
    const { access_token: leaked } = await server.login('anna');
    const { kid } = readToken(leaked).header;
    await server.app.get(SigningKeyStore).revoke(SYSTEM, String(kid), 'leaked');
    await server.hearNews();
    expect(await inspect(leaked)).toMatchObject({
      good: false,
      reason: 'unknown_kid',
      signature: 'good',
      key: { kid, state: 'revoked', inWords: expect.stringMatching(/leaked/) },
    });
  });

  it('may be signed with an HMAC secret', async () => {
    await moveTo('HS256');
    const { access_token: ours } = await server.login('anna');

    expect(await inspect(ours)).toMatchObject({ good: true, key: { algorithm: 'HS256' } });
  });
});

const bare = (claims: object, { kid, key = signer.privateKey }: { kid?: string; key?: OpenedKey['privateKey'] } = {}) =>
  jsonwebtoken.sign(claims, key, { algorithm: 'ES256', ...(kid !== undefined && { keyid: kid }), noTimestamp: true });

describe('a bare token, such as a tutorial makes,', () => {
  it('is judged by signature and exp alone, and that is said', async () => {
    const exp = (await seconds()) + 600;
    for (const text of [bare({ sub: 'anna', exp }, { kid: signer.kid }), bare({ sub: 'anna', exp })]) {
      expect(await inspect(text)).toMatchObject({
        good: true,
        judgedBy: 'signature and exp alone',
        reason: null,
        signature: 'good',
        key: { kid: signer.kid },
        claims: { sub: 'anna', exp },
        verdict: expect.stringMatching(
          /not one of our access tokens \(its header says no typ at\+jwt\), so the guard refuses it\.\nBy its signature and exp alone, it is good\./,
        ),
      });
    }
  });

  it('with typ at+jwt and claims missing, too', async () => {
    const text = forge(
      { alg: 'ES256', kid: signer.kid, typ: 'at+jwt' },
      { exp: (await seconds()) + 600 },
      signedBy(signer.privateKey),
    );

    expect(await inspect(text)).toMatchObject({
      good: true,
      verdict: expect.stringMatching(/its claim iss is missing/),
    });
  });

  it('is refused when it has expired, says no end, or another signed it', async () => {
    const now = await seconds();
    const other = ecPair('P-256').privateKey;
    const exp = now + 600;
    const cases = [
      [bare({ exp: now - 1 }, { kid: signer.kid }), 'expired', 'good'],
      [bare({ sub: 'anna' }, { kid: signer.kid }), 'claim:exp', 'good'],
      [forge({ alg: 'ES256', kid: signer.kid }, { exp: 'soon' }, signedBy(signer.privateKey)), 'claim:exp', 'good'],
      [bare({ exp }, { kid: signer.kid, key: other }), 'signature', 'bad'],
      [bare({ exp }, { kid: 'nobody' }), 'unknown_kid', 'not checked'],
      [bare({ exp }, { key: other }), 'unknown_kid', 'not checked'],
    ] as const;
    for (const [text, reason, signature] of cases) {
      expect(await inspect(text)).toMatchObject({
        good: false,
        judgedBy: 'signature and exp alone',
        reason,
        signature,
      });
    }
  });

  it('is never verified with the public key for a secret, or without a signature', async () => {
    const exp = (await seconds()) + 600;
    const secret = createSecretKey(signer.publicKey.export({ type: 'spki', format: 'der' }));
    const confused = jsonwebtoken.sign({ exp }, secret, { algorithm: 'HS256', keyid: signer.kid });
    const unsigned = `${segment({ alg: 'none', kid: signer.kid })}.${segment({ exp })}.`;

    expect(await inspect(confused)).toMatchObject({ good: false, signature: 'bad' });
    expect(await inspect(unsigned)).toMatchObject({ good: false });
  });
});

it.each([
  ['nothing', '', 'segments'],
  ['words', 'hello there', 'segments'],
  ['half a token', () => token.split('.').slice(0, 2).join('.'), 'segments'],
  ['a token that lost a character', () => token.slice(1), 'base64url'],
  ['a token with a part that is no JSON', () => `${segment('hello')}.${segment('{}')}.AAAA`, 'json'],
  ['a megabyte', 'a'.repeat(1_000_000), 'too_long'],
  ['a demand', () => forge({ alg: 'ES256', kid: signer.kid, crit: ['b64'] }, {}, signedBy(signer.privateKey)), 'crit'],
])('%s cannot be judged', async (_name, text, reason) => {
  expect(await inspect(typeof text === 'string' ? text : text())).toMatchObject({
    good: false,
    judgedBy: 'its shape',
    reason,
    key: null,
  });
});

describe('the command', () => {
  it('reads standard input or its argument, says what it found, and never shows the token', async () => {
    const keyturn = keyturnBeside(server, database);
    const { access_token: fresh } = await server.login('anna');
    const [piped, given, refused] = [
      await keyturn(['token', 'inspect'], `Bearer ${fresh}\n`),
      await keyturn(['token', 'inspect', fresh, '--json']),
      await keyturn(['token', 'inspect'], 'hello'),
    ];

    expect([piped.code, given.code, refused.code]).toEqual([0, 0, 1]);
    expect(piped.out).toMatch(/key +\d+-\S+, version \d+, \S+\n.*active: signs since/);
    expect(piped.out).toMatch(/The guard accepts it, as anna \(hr\)\.\n$/);
    expect(JSON.parse(given.out)).toMatchObject({ good: true, judgedBy: 'the guard', signature: 'good' });
    for (const { out, err } of [piped, given]) {
      expect(err).toBe('');
      for (const part of fresh.split('.')) expect(out).not.toContain(part);
    }
  });
});

function signedAgain(header: object, claims: object = {}): string {
  const read = readToken(token);
  return forge({ ...read.header, ...header }, { ...read.claims, ...claims }, signedBy(signer.privateKey));
}

function altered(claims: object): string {
  const read = readToken(token);
  return forge(read.header, { ...read.claims, ...claims }, () => Buffer.from(read.signature, 'base64url'));
}
