import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readKeyFile, refuseIfOthersMayRead } from '../../src/keys/exchange/key-file.js';
import { readKeys } from '../../src/keys/exchange/read-keys.js';
import { isEncryptedPem } from '../../src/keys/exchange/read-pem.js';
import { temporaryFolder, type Folder } from './support/cli.js';
import { ecPair, jwk, pem, reasonOf, refused, rsaPair } from './support/keys.js';

const rsa = rsaPair();
const ec = ecPair('P-384');
const passphrase = 'seven lanterns';
const spki = pem(rsa.publicKey, 'spki');

/** The same key, whatever it came as. */
const fingerprint = (key: Parameters<typeof pem>[0]): string =>
  pem(key.type === 'private' ? createPublicKey(key) : key, 'spki');

describe('private keys', () => {
  it.each([
    ['PKCS#1', pem(rsa.privateKey, 'pkcs1'), rsa],
    ['PKCS#8', pem(rsa.privateKey, 'pkcs8'), rsa],
    ['PKCS#8 with an EC key', pem(ec.privateKey, 'pkcs8'), ec],
    ['SEC1', pem(ec.privateKey, 'sec1'), ec],
    [
      'SEC1 as openssl writes it, after its parameters',
      `-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n${pem(ec.privateKey, 'sec1')}`,
      ec,
    ],
    [
      'PEM with words around it and Windows line ends',
      `Key of Anna\r\n${pem(rsa.privateKey, 'pkcs8').replaceAll('\n', '\r\n')}\r\n`,
      rsa,
    ],
    ['a JWK', JSON.stringify(jwk(rsa.privateKey)), rsa],
    ['an EC JWK', JSON.stringify(jwk(ec.privateKey)), ec],
    ['a JWKS of one', JSON.stringify({ keys: [jwk(ec.privateKey)] }), ec],
  ])('come as %s', (_format, text, pair) => {
    const [entry] = readKeys(text);

    expect(entry?.key.type).toBe('private');
    expect(entry && fingerprint(entry.key)).toBe(pem(pair.publicKey, 'spki'));
  });

  it.each([
    ['PKCS#8', pem(rsa.privateKey, 'pkcs8', passphrase), rsa],
    ['PKCS#1, the old way', pem(rsa.privateKey, 'pkcs1', passphrase), rsa],
    ['SEC1, the old way', pem(ec.privateKey, 'sec1', passphrase), ec],
  ])('come encrypted as %s', async (_format, text, pair) => {
    expect(isEncryptedPem(text)).toBe(true);
    const [entry] = readKeys(text, passphrase);
    expect(entry && fingerprint(entry.key)).toBe(pem(pair.publicKey, 'spki'));
    expect(await reasonOf(() => readKeys(text))).toBe('passphrase_missing');
    for (const wrong of ['', 'eight lanterns', 'x'.repeat(5_000)]) {
      expect(await reasonOf(() => readKeys(text, wrong))).toBe('wrong_passphrase');
    }
  });

  it('come as an HMAC secret in a JWK', () => {
    const k = Buffer.alloc(32, 7).toString('base64url');
    const [entry] = readKeys(JSON.stringify({ kty: 'oct', k, alg: 'HS256', kid: 'shared' }));

    expect(entry).toMatchObject({ kid: 'shared', algorithm: 'HS256' });
    expect(entry?.key.export()).toEqual(Buffer.alloc(32, 7));
  });
});

describe('public keys', () => {
  it.each([
    ['SPKI', spki],
    ['PKCS#1', pem(rsa.publicKey, 'pkcs1')],
    ['a JWK', JSON.stringify(jwk(rsa.publicKey))],
    ['a list of one', JSON.stringify([{ kid: 'a', public_key: spki }])],
  ])('come as %s', (_format, text) => {
    const [entry] = readKeys(text);

    expect(entry?.key.type).toBe('public');
    expect(entry && fingerprint(entry.key)).toBe(spki);
  });

  it('come as a JWKS, each with what it says of itself', () => {
    const text = JSON.stringify({
      keys: [
        { ...jwk(rsa.publicKey), kid: 'a', alg: 'PS512', use: 'sig', key_ops: ['verify'], x5t: 'ignored' },
        { ...jwk(ec.publicKey), kid: 'b' },
      ],
    });

    expect(readKeys(text)).toMatchObject([
      { kid: 'a', algorithm: 'PS512', where: 'key 1 of 2 (kid "a")' },
      { kid: 'b', algorithm: undefined, where: 'key 2 of 2 (kid "b")' },
    ]);
  });

  it('come as a list such as a Python program writes', () => {
    const text = JSON.stringify([
      { kid: 1, public_key: spki, created_at: '2026-01-01T00:00:00', expires_at: '2026-02-01 12:00:00.123456' },
      { kid: '2', public_key: spki, created_at: null, algorithm: 'RS384', note: 'passed over' },
    ]);

    expect(readKeys(text)).toMatchObject([
      { kid: '1', createdAt: Date.UTC(2026, 0, 1), expiresAt: Date.UTC(2026, 1, 1, 12, 0, 0, 123) },
      { kid: '2', algorithm: 'RS384', createdAt: undefined, expiresAt: undefined },
    ]);
  });
});

describe('what is refused, and why', () => {
  const list = (entry: object): string => JSON.stringify([{ kid: 'a', public_key: spki, ...entry }]);
  const oneJwk = (member: object): string => JSON.stringify({ ...jwk(rsa.publicKey), ...member });
  const { d: _, ...withoutD } = jwk(rsa.privateKey);

  it.each([
    ['plain text', 'hello', 'unknown_format'],
    ['nothing', '', 'unknown_format'],
    ['a Python literal', `[{'kid': '1'}]`, 'unknown_format'],
    ['JSON that is cut off', '{"keys": [', 'unknown_format'],
    ['JSON of another kind', '{"hello": "world"}', 'unknown_format'],
    ['a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', 'unknown_format'],
    [
      'an OpenSSH key',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----',
      'unknown_format',
    ],
    ['PEM that is cut off', spki.slice(0, 200), 'damaged'],
    ['PEM with another content than it says', spki.replaceAll('PUBLIC', 'PRIVATE'), 'damaged'],
    ['two PEM blocks', spki + spki, 'several_keys'],
    ['an empty list', '[]', 'no_key'],
    ['an empty JWKS', '{"keys": []}', 'no_key'],
    ['a list of a thousand', JSON.stringify(Array.from({ length: 1_000 }, () => ({}))), 'several_keys'],
    ['a JWK without kty in a set', '{"keys": [{}]}', 'damaged'],
    ['a JWK whose kid is a number', oneJwk({ kid: 7 }), 'damaged'],
    ['a JWK for encryption', oneJwk({ use: 'enc' }), 'use'],
    ['a public JWK that may not verify', oneJwk({ key_ops: ['encrypt'] }), 'key_ops'],
    ['a private JWK that may not sign', JSON.stringify({ ...jwk(rsa.privateKey), key_ops: ['verify'] }), 'key_ops'],
    ['a JWK of an algorithm that does not sign', oneJwk({ alg: 'RSA-OAEP' }), 'algorithm'],
    ['a JWK of alg none', oneJwk({ alg: 'none' }), 'algorithm'],
    ['a JWK of a type without meaning here', '{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}', 'key_type'],
    ['a JWK on another curve', '{"kty": "EC", "crv": "P-192", "x": "AAAA", "y": "AAAA"}', 'curve'],
    ['a JWK that is no point on its curve', '{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}', 'damaged'],
    ['a JWK with more than two primes', JSON.stringify({ ...jwk(rsa.privateKey), oth: [] }), 'key_type'],
    ['a private JWK that lacks d', JSON.stringify(withoutD), 'damaged'],
    ['an oct JWK without k', '{"kty": "oct"}', 'damaged'],
    ['an oct JWK in base64 of the other kind', '{"kty": "oct", "k": "ab+/"}', 'damaged'],
    ['an entry without kid', JSON.stringify([{ public_key: spki }]), 'kid'],
    ['an entry whose kid is no whole number', list({ kid: 1.5 }), 'kid'],
    ['an entry without key', '[{"kid": "a"}]', 'damaged'],
    ['an entry of an unknown algorithm', list({ algorithm: 'EdDSA' }), 'algorithm'],
    ['an entry with a time that is none', list({ expires_at: 'next week' }), 'time'],
    ['an entry with a number for a time', list({ expires_at: 1_793_525_400 }), 'damaged'],
    ['an entry with a private key beside', list({ private_key: pem(rsa.privateKey, 'pkcs8') }), 'public_expected'],
    ['an entry with a private key instead', list({ public_key: pem(rsa.privateKey, 'pkcs1') }), 'public_expected'],
  ])('%s', async (_name, text, reason) => {
    expect(await reasonOf(() => readKeys(text))).toBe(reason);
  });

  it('nothing of a private key in the words', async () => {
    const secret = pem(rsa.privateKey, 'pkcs8');
    const damaged = [
      secret.replace('MII', 'MIJ'),
      `{"kty": "RSA", "d": "${jwk(rsa.privateKey).d}"`,
      JSON.stringify(withoutD),
      list({ private_key: secret }),
    ];
    for (const text of damaged) {
      const { sentence } = await refused(() => readKeys(text));
      expect(sentence).not.toMatch(/[A-Za-z0-9+/_-]{40}/);
    }
  });
});

describe('a file', () => {
  let folder: Folder;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => folder.remove());

  it('is read without its byte order mark', async () => {
    const path = await folder.write('bom.pem', `\uFEFF${spki}`);

    expect(readKeys(readKeyFile(path).text)).toHaveLength(1);
  });

  it('is refused when it is missing, a folder, too large, DER, or not text', async () => {
    const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
    const cases = [
      [`${folder.path}/missing`, 'file_unreadable'],
      [folder.path, 'file_unreadable'],
      [await folder.write('large', Buffer.alloc(2_000_000, 'a')), 'file_too_large'],
      [await folder.write('key.der', der), 'unknown_format'],
      [await folder.write('image', Buffer.from([0x89, 0xff, 0xfe, 0x00])), 'unknown_format'],
    ] as const;
    for (const [path, reason] of cases) expect(await reasonOf(() => readKeyFile(path))).toBe(reason);
  });

  it.each([0o644, 0o640, 0o604, 0o660, 0o610])(
    'that others may touch (%o) is refused when it holds a secret',
    async (mode) => {
      const path = await folder.write(`mode-${mode.toString(8)}`, pem(rsa.privateKey, 'pkcs8'), 0o600);
      const file = { ...readKeyFile(path), mode };

      expect(await refused(() => refuseIfOthersMayRead(file))).toMatchObject({
        reason: 'others_may_read',
        sentence: expect.stringContaining(`chmod 600 ${path}`),
      });
      expect(() => refuseIfOthersMayRead(readKeyFile(path))).not.toThrow();
    },
  );
});

it('takes no Ed25519 or DSA key from PEM for what it is not', () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const [entry] = readKeys(pem(publicKey, 'spki'));

  expect(entry?.key.asymmetricKeyType).toBe('ed25519'); // and chooseAlgorithm refuses it
});
