import { beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose';
import { readCheckpoint, readKeptCheckpoints, signatureProblem, type Checkpoint } from './checkpoint.js';

const hash = 'a'.repeat(64);
const signedAt = Date.parse('2026-10-01T12:00:00Z');
const minute = 60_000;

let privateKey: CryptoKey;
let publicJwk: JWK;
beforeAll(async () => {
  const pair = await generateKeyPair('ES256');
  privateKey = pair.privateKey;
  publicJwk = await exportJWK(pair.publicKey);
});

const sign = (claims: object, header: object = {}): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ES256', kid: '1-AAAAAAAA', typ: 'keyturn-checkpoint+jwt', ...header })
    .sign(privateKey);

const good = (): Promise<string> => sign({ seq: 7, hash, iat: signedAt / 1_000 });

describe('readCheckpoint', () => {
  it('reads what a checkpoint says', async () => {
    const jws = await good();
    expect(readCheckpoint(jws)).toEqual({
      jws,
      algorithm: 'ES256',
      kid: '1-AAAAAAAA',
      seq: 7,
      hash,
      iat: signedAt / 1_000,
    });
  });

  it('takes no access token for a checkpoint', async () => {
    expect(readCheckpoint(await sign({ seq: 7, hash, iat: 1 }, { typ: 'at+jwt' }))).toBeUndefined();
  });

  it.each([{ hash, iat: 1 }, { seq: 0, hash, iat: 1 }, { seq: 7, hash: 'A', iat: 1 }, []])(
    'refuses %j',
    async (claims) => {
      expect(readCheckpoint(await sign(claims))).toBeUndefined();
    },
  );
});

describe('readKeptCheckpoints', () => {
  it('reads an answer of GET /history/checkpoint', async () => {
    expect(readKeptCheckpoints(JSON.stringify({ seq: 7, jws: await good() }, null, 2))).toMatchObject([{ seq: 7 }]);
  });

  it('reads one JWS a line', async () => {
    const jws = await good();
    expect(readKeptCheckpoints(`${jws}\r\n${jws}\n`)).toHaveLength(2);
  });

  it.each(['', '{}', '{', 'eyJ', 'not a checkpoint'])('refuses %j', (text) => {
    expect(readKeptCheckpoints(text)).toBeUndefined();
  });

  it('refuses a file that holds something beside', async () => {
    expect(readKeptCheckpoints(`${await good()}\nrm -rf`)).toBeUndefined();
  });
});

describe('signatureProblem', () => {
  const key = (changes: object = {}) => ({
    algorithm: 'ES256',
    signs: true,
    public_jwk: publicJwk,
    published_at: new Date(signedAt - 120 * minute).toISOString(),
    activates_at: new Date(signedAt - 60 * minute).toISOString(),
    retires_at: null,
    revoked_at: null,
    ...changes,
  });
  const checkpoint = async (): Promise<Checkpoint> => {
    const read = readCheckpoint(await good());
    if (!read) throw new Error('not a checkpoint');
    return read;
  };
  const at = (instant: number): string => new Date(instant).toISOString();

  it('finds nothing wrong with what the key signed while it was active', async () => {
    expect(await signatureProblem(await checkpoint(), key())).toBeUndefined();
  });

  it('finds the key that does not exist', async () => {
    expect(await signatureProblem(await checkpoint(), undefined)).toBe(
      'it names the key 1-AAAAAAAA, which does not exist',
    );
  });

  it('finds that another key signed', async () => {
    const other = await exportJWK((await generateKeyPair('ES256')).publicKey);
    expect(await signatureProblem(await checkpoint(), key({ public_jwk: other }))).toBe('1-AAAAAAAA did not sign it');
  });

  it('finds an algorithm that is not the key’s', async () => {
    expect(await signatureProblem(await checkpoint(), key({ algorithm: 'ES384' }))).toBe(
      'it is not signed with the algorithm of 1-AAAAAAAA',
    );
  });

  it.each([
    { retires_at: at(signedAt - 3 * minute) },
    { revoked_at: at(signedAt - 3 * minute) },
    { activates_at: at(signedAt + 3 * minute) },
    { activates_at: at(signedAt), retires_at: at(signedAt) },
  ])('finds that the key did not sign then: %j', async (window) => {
    expect(await signatureProblem(await checkpoint(), key(window))).toBe(
      'it says that 1-AAAAAAAA signed it at 2026-10-01T12:00:00.000Z, when that key did not sign',
    );
  });

  it('finds a key that is kept to verify, and signs nothing', async () => {
    expect(
      await signatureProblem(
        await checkpoint(),
        key({ signs: false, activates_at: at(signedAt), retires_at: at(signedAt) }),
      ),
    ).toBe('1-AAAAAAAA is kept to verify, and signs nothing');
  });

  it('allows for clocks that differ', async () => {
    expect(await signatureProblem(await checkpoint(), key({ retires_at: at(signedAt - minute) }))).toBeUndefined();
  });
});
