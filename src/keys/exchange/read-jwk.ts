import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { ALGORITHMS } from '../../config/settings.js';
import type { Algorithm } from '../signing-key.js';
import { nameOf, type FoundKey } from './found-key.js';
import { refusal } from './refusal.js';

const text = z.string().optional();

/** RFC 7517 section 4, RFC 7518 section 6. Members we do not know are passed over, as the RFC says. */
const jwkSchema = z.looseObject({
  kty: z.string(),
  kid: text,
  alg: text,
  use: text,
  key_ops: z.array(z.string()).optional(),
  crv: text,
  x: text,
  y: text,
  n: text,
  e: text,
  d: text,
  p: text,
  q: text,
  dp: text,
  dq: text,
  qi: text,
  k: text,
});
type ReadJwk = z.output<typeof jwkSchema>;

/** @throws KeyturnError `key_change_refused` */
export const readJwks = (values: readonly unknown[]): readonly FoundKey[] =>
  values.map((value, index) => readJwk(value, index, values.length));

/** @throws KeyturnError `key_change_refused` */
export function readJwk(value: unknown, index = 0, count = 1): FoundKey {
  const place = nameOf(index, count);
  const read = jwkSchema.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw refusal('damaged', `${place} is no JWK: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
  }
  const jwk = read.data;
  const where = nameOf(index, count, jwk.kid);
  const half = halfOf(jwk);
  if (jwk.use !== undefined && jwk.use !== 'sig') {
    throw refusal('use', `${where} says use ${JSON.stringify(jwk.use)}: it is not for signatures.`);
  }
  refuseWithoutOperations(jwk, half, where);
  return { where, key: keyObject(jwk, half, where), kid: jwk.kid, algorithm: algorithmSaid(jwk, where) };
}

type Half = 'secret' | 'private' | 'public';

/** Any private member makes it private: without the others it cannot be read, and it is nothing to be shown around. */
function halfOf({ kty, d, p, q, dp, dq, qi }: ReadJwk): Half {
  if (kty === 'oct') return 'secret';
  return [d, p, q, dp, dq, qi].some((member) => member !== undefined) ? 'private' : 'public';
}

const OPERATIONS: Readonly<Record<Half, readonly string[]>> = {
  secret: ['sign', 'verify'],
  private: ['sign'],
  public: ['verify'],
};

function refuseWithoutOperations({ key_ops: allowed }: ReadJwk, half: Half, where: string): void {
  const missing = allowed && OPERATIONS[half].filter((operation) => !allowed.includes(operation));
  if (!missing?.length) return;
  throw refusal('key_ops', `${where} has key_ops without ${missing.join(' and ')}: it is not meant for this.`);
}

function algorithmSaid({ alg }: ReadJwk, where: string): Algorithm | undefined {
  if (alg === undefined) return undefined;
  const algorithm = ALGORITHMS.find((known) => known === alg);
  if (algorithm) return algorithm;
  throw refusal('algorithm', `${where} says alg ${JSON.stringify(alg)}, which is none of ${ALGORITHMS.join(', ')}.`);
}

function keyObject(jwk: ReadJwk, half: Half, where: string): KeyObject {
  if (half === 'secret') return secretOf(jwk, where);
  if (jwk.kty !== 'RSA' && jwk.kty !== 'EC') {
    throw refusal('key_type', `${where} is of type ${JSON.stringify(jwk.kty)}: a signing key is RSA, EC or oct.`);
  }
  if ('oth' in jwk) throw refusal('key_type', `${where} is an RSA key of more than two primes.`);
  try {
    const key = keyMembers(jwk);
    return half === 'private' ? createPrivateKey({ key, format: 'jwk' }) : createPublicKey({ key, format: 'jwk' });
  } catch {
    if (jwk.kty === 'EC' && !['P-256', 'P-384', 'P-521'].includes(jwk.crv ?? '')) {
      throw refusal('curve', `${where} is on the curve ${JSON.stringify(jwk.crv)}, not P-256, P-384 or P-521.`);
    }
    const wanted = jwk.kty === 'EC' ? 'crv, x, y' : 'n, e';
    const more = half === 'public' ? '' : jwk.kty === 'EC' ? ', d' : ', d, p, q, dp, dq, qi';
    throw refusal('damaged', `${where} cannot be read: a ${half} ${jwk.kty} key has ${wanted}${more} in base64url.`);
  }
}

const keyMembers = ({ kty, crv, x, y, n, e, d, p, q, dp, dq, qi }: ReadJwk): Record<string, string> =>
  Object.fromEntries(
    Object.entries({ kty, crv, x, y, n, e, d, p, q, dp, dq, qi }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );

function secretOf({ k = '' }: ReadJwk, where: string): KeyObject {
  const bytes = Buffer.from(k, 'base64url');
  if (bytes.length > 0 && bytes.toString('base64url') === k) return createSecretKey(bytes);
  throw refusal('damaged', `${where} is of type oct and has no k in base64url.`);
}
