import { createPublicKey } from 'node:crypto';
import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load-config.js';
import { planAdmission } from '../../src/keys/exchange/plan-admission.js';
import { readKeys } from '../../src/keys/exchange/read-keys.js';
import { exportKeys, EXPORT_FORMATS } from '../../src/keys/exchange/write-keys.js';
import { generateKey, type KeyMaterial } from '../../src/keys/key-material.js';
import type { Algorithm, SigningKey } from '../../src/keys/signing-key.js';
import { reasonOf } from './support/keys.js';
import { now, row } from './support/rows.js';

const hour = 3_600_000;
const day = 24 * hour;
const policy = loadConfig({ NODE_ENV: 'test' }).keys;
const BY_KEY: readonly Algorithm[] = ['RS256', 'PS384', 'ES256', 'ES384', 'ES512'];

let materials: readonly KeyMaterial[];
let ring: readonly SigningKey[];
beforeAll(async () => {
  materials = await Promise.all(BY_KEY.map((algorithm) => generateKey(algorithm, 2048)));
  const of = ({ algorithm, publicJwk, thumbprint }: KeyMaterial = materials[0]!) => ({
    algorithm,
    publicJwk,
    thumbprint,
  });
  ring = [
    row({ ...of(materials[0]), version: 1, kid: 'expired', retiresAt: now - 2 * hour, expiresAt: now - hour }),
    row({ ...of(materials[1]), version: 2, kid: 'revoked', revokedAt: now - 1, revocationReason: 'leaked' }),
    row({ ...of(materials[1]), version: 3, kid: 'retiring', retiresAt: now - hour, expiresAt: now + 60_000 }),
    row({ algorithm: 'HS256', thumbprint: null, version: 4, kid: 'hmac', retiresAt: now - 1, expiresAt: now + hour }),
    row({ ...of(materials[2]), version: 5, kid: 'active', retiresAt: now + day, expiresAt: now + day + hour }),
    row({ ...of(materials[3]), version: 6, kid: 'pending', publishedAt: now, activatesAt: now + day }),
  ];
});

const listSchema = z.array(
  z.strictObject({ kid: z.string(), public_key: z.string(), created_at: z.string(), expires_at: z.string() }),
);
const jwkSchema = z.record(z.string(), z.string());

describe('an export', () => {
  it('of a list holds every key that verifies now or will, and says what it leaves out', () => {
    for (const format of ['jwks', 'keys.json'] as const) {
      const { text, keys, leftOut } = exportKeys({ keys: ring, now }, policy, format);

      expect(keys.map(({ kid }) => kid)).toEqual(['retiring', 'active', 'pending']);
      expect(leftOut).toEqual(['hmac']);
      expect(text).not.toMatch(/expired|revoked|hmac/);
    }
  });

  it('of one key holds the one that signs, or the one that is named', () => {
    for (const format of ['pem', 'jwk'] as const) {
      expect(exportKeys({ keys: ring, now }, policy, format).keys.map(({ kid }) => kid)).toEqual(['active']);
    }
    for (const format of EXPORT_FORMATS) {
      expect(exportKeys({ keys: ring, now }, policy, format, 'pending').keys).toEqual([ring[5]]);
    }
  });

  it('writes the planned end of a key whose successor is not there yet', () => {
    const { text } = exportKeys({ keys: ring, now }, policy, 'keys.json');

    expect(
      listSchema.parse(JSON.parse(text)).map(({ kid, created_at, expires_at }) => [kid, created_at, expires_at]),
    ).toEqual([
      ['retiring', '2026-10-31T22:00:00.000Z', '2026-11-01T00:01:00.000Z'],
      ['active', '2026-10-31T22:00:00.000Z', '2026-11-02T01:00:00.000Z'],
      // Takes over on the 2nd, signs for 30 days, and its tokens live an hour and a minute more.
      ['pending', '2026-11-01T00:00:00.000Z', '2026-12-02T01:01:00.000Z'],
    ]);
  });

  it('has public members only, even of a row that somebody wrote private ones into', () => {
    const leaky = row({ publicJwk: { ...materials[0]!.publicJwk, d: 'secret', p: 'secret', k: 'secret', oth: [] } });
    const names = EXPORT_FORMATS.map((format) => exportKeys({ keys: [leaky], now }, policy, format).text);

    for (const text of names) expect(text).not.toMatch(/secret|PRIVATE|"(d|p|q|dp|dq|qi|k|oth)"/);
    expect(Object.keys(jwkSchema.parse(JSON.parse(names[1]!))).toSorted()).toEqual([
      'alg',
      'e',
      'kid',
      'kty',
      'n',
      'use',
    ]);
  });

  it.each([
    ['an HMAC key', 'hmac', 'no_public_half'],
    ['a revoked key', 'revoked', 'expired'],
    ['an expired key', 'expired', 'expired'],
    ['a key that is not there', 'nobody', 'not_found'],
  ])('of %s is refused', async (_name, kid, reason) => {
    for (const format of EXPORT_FORMATS) {
      expect(await reasonOf(() => exportKeys({ keys: ring, now }, policy, format, kid))).toBe(reason);
    }
  });

  it('is refused while there is no key, none that signs, or an HMAC one only', async () => {
    const hmac = ring.filter(({ kid }) => kid === 'hmac');

    expect(await reasonOf(() => exportKeys({ keys: [], now }, policy, 'jwks'))).toBe('not_found');
    expect(await reasonOf(() => exportKeys({ keys: hmac, now }, policy, 'pem'))).toBe('not_found');
    expect(await reasonOf(() => exportKeys({ keys: hmac, now }, policy, 'keys.json'))).toBe('no_public_half');
  });
});

describe('what is exported', () => {
  it('is imported again as the same key, whatever the format', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: BY_KEY.length - 1 }),
        fc.constantFrom(...EXPORT_FORMATS),
        fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
        fc.integer({ min: -30 * 24, max: -1 }),
        fc.integer({ min: 1, max: 400 * 24 }),
        async (index, format, kid, begun, end) => {
          const { algorithm, publicJwk, thumbprint } = materials[index]!;
          const activatesAt = now + begun * hour;
          const times = {
            publishedAt: activatesAt,
            activatesAt,
            retiresAt: now + end * hour,
            expiresAt: now + (end + 2) * hour,
          };
          const exported = exportKeys(
            { keys: [row({ algorithm, publicJwk, thumbprint, kid, ...times })], now },
            policy,
            format,
          );

          const { keys } = await planAdmission(
            readKeys(exported.text),
            {
              // What the format cannot say.
              ...((format === 'pem' || format === 'keys.json') && { algorithm }),
              ...(format === 'pem' && { kid }),
              ...(format !== 'keys.json' && { expiresAt: times.expiresAt }),
            },
            { keys: [], now, maxTokenTtl: hour },
          );

          const createdAt = format === 'keys.json' ? activatesAt : now - hour;
          const { expiresAt } = times;
          expect(keys).toEqual([{ kid, algorithm, publicJwk, thumbprint, createdAt, expiresAt, maxTokenTtl: hour }]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is PEM that OpenSSL reads', () => {
    const { text } = exportKeys({ keys: ring, now }, policy, 'pem');

    expect(createPublicKey(text).export({ format: 'jwk' })).toEqual(materials[2]!.publicJwk);
  });
});
