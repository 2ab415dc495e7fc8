import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPair,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose';
import type { Algorithm, SigningKey } from './signing-key.js';
import { isHmac } from './signing-key.js';

/** The two halves of a key. For HMAC they are the same secret, and there is no JWK to publish. */
export interface KeyMaterial {
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicJwk: JWK | null;
  /** RFC 7638 with SHA-256; null for HMAC: a hash of a secret is a hint at it. */
  readonly thumbprint: string | null;
}

/** Makes new key material. A test hands its own. */
export type GenerateKey = (algorithm: Algorithm, modulusLength: 2048 | 3072 | 4096) => Promise<KeyMaterial>;

/** Injection token of {@link GenerateKey}. */
export const GENERATE_KEY = Symbol('keyturn.generate-key');

const generate = promisify(generateKeyPair);
const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

export const generateKey: GenerateKey = async (algorithm, modulusLength) => {
  if (isHmac(algorithm)) {
    // RFC 7518 section 3.2: at least as long as the hash.
    return {
      algorithm,
      privateKey: createSecretKey(randomBytes(Number(algorithm.slice(2)) / 8)),
      publicJwk: null,
      thumbprint: null,
    };
  }
  const namedCurve = CURVES[algorithm];
  const { privateKey } =
    namedCurve === undefined
      ? await generate('rsa', { modulusLength, publicExponent: 65537 })
      : await generate('ec', { namedCurve });
  return asymmetricMaterial(algorithm, privateKey);
};

/** Derives the public half of a private key and its thumbprint. */
export async function asymmetricMaterial(algorithm: Algorithm, privateKey: KeyObject): Promise<KeyMaterial> {
  const publicJwk = publicMembers(await exportJWK(createPublicKey(privateKey)));
  return { algorithm, privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk, 'sha256') };
}

/** Only what a public key consists of (RFC 7518 sections 6.2.1 and 6.3.1): a list of what may pass, not of what may not. */
export function publicMembers({ kty, crv, x, y, n, e }: JWK): JWK {
  const members = { kty, crv, x, y, n, e };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** What is sealed: PKCS#8 in DER, or the bytes of an HMAC secret. */
export const privateBytes = ({ privateKey }: Pick<KeyMaterial, 'privateKey'>): Buffer =>
  privateKey.type === 'secret' ? privateKey.export() : privateKey.export({ type: 'pkcs8', format: 'der' });

/** The reverse of {@link privateBytes}. */
export const privateKeyFrom = (algorithm: Algorithm, bytes: Buffer): KeyObject =>
  isHmac(algorithm) ? createSecretKey(bytes) : createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });

/** What a row holds is no key: damaged, or put there by hand. */
export class MalformedKey extends Error {
  override readonly name = 'MalformedKey';
}

/** The database refuses such a row, unless somebody took its constraint away. @throws MalformedKey */
export function checkInstants(key: SigningKey): void {
  const { publishedAt, activatesAt, retiresAt, expiresAt, revokedAt } = key;
  const said = [publishedAt, activatesAt, retiresAt, expiresAt, revokedAt].filter((instant) => instant !== null);
  if (!said.every(Number.isFinite)) throw new MalformedKey('one of its timestamps is no instant');
}

/** The half that verifies, as a typed KeyObject: a secret for HMAC, a public key for everything else. @throws MalformedKey */
export function verificationKey(
  algorithm: Algorithm,
  publicJwk: JWK | null,
  secret: KeyObject | undefined,
): KeyObject | undefined {
  if (isHmac(algorithm)) return secret;
  try {
    return publicJwk ? createPublicKey({ key: { ...publicJwk }, format: 'jwk' }) : undefined;
  } catch (error) {
    throw new MalformedKey(`its public half is no key of ${algorithm}`, { cause: error });
  }
}
