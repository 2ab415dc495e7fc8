import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { FoundKey } from '../../src/keys/exchange/found-key.js';
import type { ImportWishes, ImportWorld } from '../../src/keys/exchange/import-rules.js';
import { planAdmission } from '../../src/keys/exchange/plan-admission.js';
import { planStandby } from '../../src/keys/exchange/plan-standby.js';
import { readKeys } from '../../src/keys/exchange/read-keys.js';
import { asymmetricMaterial } from '../../src/keys/key-material.js';
import type { SigningKey } from '../../src/keys/signing-key.js';
import { now, row } from './support/rows.js';
import { ecPair, found, jwk, pem, reasonOf, refused, rsaPair } from './support/keys.js';

const hour = 3_600_000;
const rsa = rsaPair();
const [p256, p384, p521] = [ecPair('P-256'), ecPair('P-384'), ecPair('P-521')];
const secret = (bytes: number) => createSecretKey(Buffer.alloc(bytes, 7));

const world = (keys: readonly SigningKey[] = []): ImportWorld => ({ keys, now, maxTokenTtl: hour });
const standby = (entry: FoundKey, wishes: ImportWishes = {}, keys: readonly SigningKey[] = []) =>
  planStandby([entry], wishes, world(keys));
const admission = (entries: readonly FoundKey[], wishes: ImportWishes = {}, keys: readonly SigningKey[] = []) =>
  planAdmission(entries, { expiresAt: now + hour, ...wishes }, world(keys));

describe('the algorithm', () => {
  it.each([
    ['RSA', rsa.privateKey, {}, 'RS256'],
    ['RSA, asked for PS384', rsa.privateKey, { algorithm: 'PS384' as const }, 'PS384'],
    ['P-256', p256.privateKey, {}, 'ES256'],
    ['P-384', p384.privateKey, {}, 'ES384'],
    ['P-521', p521.privateKey, {}, 'ES512'],
    ['a secret, asked for HS512', secret(64), { algorithm: 'HS512' as const }, 'HS512'],
  ])('of %s', async (_name, key, wishes, algorithm) => {
    expect((await standby(found(key), wishes)).material.algorithm).toBe(algorithm);
  });

  it('is what the file says', async () => {
    expect((await standby(found(rsa.privateKey, { algorithm: 'RS512' }))).material.algorithm).toBe('RS512');
  });

  it.each([
    ['RSA cannot do ES256', rsa.privateKey, 'ES256', 'algorithm'],
    ['RSA is no HMAC secret', rsa.privateKey, 'HS256', 'algorithm'],
    ['P-256 cannot do RS256', p256.privateKey, 'RS256', 'algorithm'],
    ['P-256 is not the curve of ES384', p256.privateKey, 'ES384', 'curve'],
    ['a secret cannot do RS256', secret(32), 'RS256', 'algorithm'],
    ['31 bytes are too short for HS256', secret(31), 'HS256', 'hmac_too_short'],
    ['47 bytes are too short for HS384', secret(47), 'HS384', 'hmac_too_short'],
    ['63 bytes are too short for HS512', secret(63), 'HS512', 'hmac_too_short'],
  ] as const)('%s', async (_name, key, algorithm, reason) => {
    expect(await reasonOf(() => standby(found(key, { algorithm })))).toBe(reason);
    expect(await reasonOf(() => standby(found(key), { algorithm }))).toBe(reason);
  });

  it('must be said for a secret, and agree with the file', async () => {
    expect(await reasonOf(() => standby(found(secret(64))))).toBe('algorithm');
    expect(await reasonOf(() => standby(found(rsa.privateKey, { algorithm: 'RS256' }), { algorithm: 'PS256' }))).toBe(
      'algorithm',
    );
  });
});

describe('a key is refused, to sign and to verify,', () => {
  it.each([
    ['RSA of 1024 bits', rsaPair(1024), 'modulus'],
    ['RSA of 2047 bits', rsaPair(2047), 'modulus'],
    ['RSA of 2304 bits', rsaPair(2304), 'modulus'],
    ['RSA with e = 3', rsaPair(2048, 3), 'exponent'],
    ['secp256k1', ecPair('secp256k1'), 'curve'],
    ['P-224', ecPair('secp224r1'), 'curve'],
    ['RSA-PSS', generateKeyPairSync('rsa-pss', { modulusLength: 2048 }), 'key_type'],
    ['Ed25519', generateKeyPairSync('ed25519'), 'key_type'],
    ['X25519', generateKeyPairSync('x25519'), 'key_type'],
    ['DSA', generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }), 'key_type'],
  ])('%s', async (_name, { privateKey, publicKey }, reason) => {
    expect(await reasonOf(() => standby(found(privateKey)))).toBe(reason);
    expect(await reasonOf(() => admission([found(publicKey, { kid: 'a' })]))).toBe(reason);
  });

  it('a JWK with halves of two pairs', async () => {
    const mixed = { ...jwk(p256.privateKey), d: jwk(ecPair('P-256').privateKey).d };
    const mixedRsa = { ...jwk(rsaPair().privateKey), n: jwk(rsa.privateKey).n };

    for (const text of [mixed, mixedRsa].map((value) => JSON.stringify(value))) {
      expect(await reasonOf(() => planStandby(readKeys(text), {}, world()))).toBe('halves_differ');
    }
  });
});

describe('a pair that is to sign', () => {
  it.each([
    [2048, rsa],
    [3072, rsaPair(3072)],
    [4096, rsaPair(4096)],
  ])('may have %d bits', async (_bits, pair) => {
    const { material, kid } = await standby(found(pair.privateKey));

    expect(material).toEqual(await asymmetricMaterial('RS256', pair.privateKey));
    expect(kid).toBeUndefined();
  });

  it('keeps its kid, unless it is given another', async () => {
    const entry = found(p256.privateKey, { kid: 'main_2024' });

    expect((await standby(entry)).kid).toBe('main_2024');
    expect((await standby(entry, { kid: 'other' })).kid).toBe('other');
  });

  it('shows nothing of an HMAC secret, not even a hash', async () => {
    expect((await standby(found(secret(32)), { algorithm: 'HS256' })).material).toMatchObject({
      publicJwk: null,
      thumbprint: null,
    });
  });

  it.each(['', 'a b', 'ü', 'a/b', '../../etc/passwd', "'; DROP TABLE", 'x'.repeat(65), 'a\n'])(
    'is refused under the kid %j, and told another',
    async (kid) => {
      for (const work of [
        () => standby(found(p256.privateKey, { kid })),
        () => standby(found(p256.privateKey), { kid }),
      ]) {
        expect(await refused(work)).toMatchObject({
          reason: 'kid',
          sentence: expect.stringMatching(/--kid imported-/),
        });
      }
    },
  );

  it('is refused under a kid that is taken, whatever became of its key', async () => {
    const ring = [row({ kid: 'main', revokedAt: now, revocationReason: 'superseded' })];

    expect(await refused(() => standby(found(p256.privateKey, { kid: 'main' }), {}, ring))).toMatchObject({
      reason: 'kid_taken',
      sentence: expect.stringMatching(/version 3.*--kid/),
    });
  });

  it('never comes back once it was revoked, unless it was only superseded', async () => {
    const { thumbprint } = await asymmetricMaterial('ES256', p256.privateKey);
    const revoked = (revocationReason: string) => [row({ thumbprint, revokedAt: now, revocationReason })];

    expect(await reasonOf(() => standby(found(p256.privateKey), {}, revoked('leaked')))).toBe('revoked');
    await expect(standby(found(p256.privateKey), {}, revoked('superseded'))).resolves.toBeDefined();
  });

  it('must be the only key, private, and without an end', async () => {
    const [a, b] = [found(p256.privateKey), found(p384.privateKey)];

    expect(await reasonOf(() => planStandby([a, b], {}, world()))).toBe('several_keys');
    expect(await reasonOf(() => planStandby([a, found(p384.publicKey)], {}, world()))).toBe('several_keys');
    expect(await reasonOf(() => standby(found(rsa.publicKey)))).toBe('private_expected');
    expect(await reasonOf(() => standby(a, { expiresAt: now + hour }))).toBe('time');
  });
});

describe('keys that only verify', () => {
  it('verify from their creation to their end', async () => {
    const entry = found(rsa.publicKey, { kid: '1', createdAt: now - 5 * hour, expiresAt: now + 2 * hour });
    const { publicJwk, thumbprint } = await asymmetricMaterial('RS256', rsa.privateKey);

    expect(await admission([entry])).toEqual({
      keys: [
        {
          kid: '1',
          algorithm: 'RS256',
          publicJwk,
          thumbprint,
          createdAt: now - 5 * hour,
          expiresAt: now + 2 * hour,
          maxTokenTtl: hour,
        },
      ],
      expired: [],
    });
  });

  it('of unknown age count as old as the oldest token that may be good, and end as asked', async () => {
    const { keys } = await admission([found(p521.publicKey, { kid: 'a' })], { expiresAt: now + 3 * hour });

    expect(keys).toMatchObject([{ createdAt: now - hour, expiresAt: now + 3 * hour, algorithm: 'ES512' }]);
  });

  it('are passed over when their end has come, even if nothing else about them is right', async () => {
    const weak = found(rsaPair(1024).publicKey, { kid: 'old one', expiresAt: now });
    const { keys, expired } = await admission([weak, found(p256.publicKey, { kid: 'new' })]);

    expect(keys.map(({ kid }) => kid)).toEqual(['new']);
    expect(expired).toEqual(['old one']);
    expect(await reasonOf(() => admission([weak]))).toBe('expired');
  });

  it.each([
    ['a private key', [found(rsa.privateKey, { kid: 'a' })], {}, 'public_expected'],
    ['a secret', [found(secret(32), { kid: 'a', algorithm: 'HS256' as const })], {}, 'public_expected'],
    ['no kid', [found(rsa.publicKey)], {}, 'kid_missing'],
    ['an ill-shaped kid', [found(rsa.publicKey, { kid: 'a b' })], {}, 'kid'],
    ['a kid twice', [found(rsa.publicKey, { kid: 'a' }), found(p256.publicKey, { kid: 'a' })], {}, 'kid'],
    ['one --kid for two', [found(rsa.publicKey), found(p256.publicKey)], { kid: 'a' }, 'kid'],
    ['no end', [found(rsa.publicKey, { kid: 'a' })], { expiresAt: undefined }, 'expiry_missing'],
    ['an end before the beginning', [found(rsa.publicKey, { kid: 'a', createdAt: now + 2 * hour })], {}, 'time'],
  ])('are refused with %s', async (_name, entries, wishes, reason) => {
    expect(await reasonOf(() => admission(entries, wishes))).toBe(reason);
  });

  it('are refused under a kid that is taken, or when the pair was revoked', async () => {
    const { thumbprint } = await asymmetricMaterial('ES256', p256.privateKey);
    const entry = found(p256.publicKey, { kid: 'a' });

    expect(await reasonOf(() => admission([entry], {}, [row({ kid: 'a', thumbprint })]))).toBe('kid_taken');
    expect(
      await reasonOf(() => admission([entry], {}, [row({ thumbprint, revokedAt: now, revocationReason: 'leaked' })])),
    ).toBe('revoked');
  });

  it('come through PEM from openssl and out again the same', async () => {
    const [entry] = readKeys(pem(p256.publicKey, 'spki'));
    const { keys } = await admission(entry ? [entry] : [], { kid: 'partner' });

    expect(keys[0]?.publicJwk).toEqual(jwk(p256.publicKey));
  });
});
