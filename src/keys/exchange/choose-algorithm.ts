import type { KeyObject } from 'node:crypto';
import { isHmac, type Algorithm } from '../signing-key.js';
import type { FoundKey } from './found-key.js';
import { refusal } from './refusal.js';

/** By OpenSSL's name of the curve (RFC 7518 section 3.4: one curve an algorithm). */
const CURVES: ReadonlyMap<string, { readonly name: string; readonly algorithm: Algorithm }> = new Map([
  ['prime256v1', { name: 'P-256', algorithm: 'ES256' }],
  ['secp384r1', { name: 'P-384', algorithm: 'ES384' }],
  ['secp521r1', { name: 'P-521', algorithm: 'ES512' }],
]);
const MODULI = new Set([2048, 3072, 4096]);

/**
 * The algorithm a key signs or verifies with: what its file says, else what was asked for, else what the key is made for; RS256 for RSA.
 * @param asked for by a person; it must agree with the file
 * @throws KeyturnError `key_change_refused` when the key is too weak, of another kind, or not made for that algorithm
 */
export function chooseAlgorithm({ key, algorithm: said, where }: FoundKey, asked?: Algorithm): Algorithm {
  if (said && asked && said !== asked) {
    throw refusal('algorithm', `${where} says alg ${said}; --algorithm says ${asked}. The two must agree.`);
  }
  const wanted = said ?? asked;
  if (key.type === 'secret') return forSecret(key, wanted, where);
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return forRsa(key, wanted, where);
    case 'ec':
      return forCurve(key, wanted, where);
    default:
      throw refusal(
        'key_type',
        `${where} is of type ${key.asymmetricKeyType ?? 'unknown'}: a signing key is RSA (not restricted to PSS), or EC on P-256, P-384 or P-521.`,
      );
  }
}

function forRsa({ asymmetricKeyDetails }: KeyObject, wanted: Algorithm = 'RS256', where: string): Algorithm {
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {};
  if (!MODULI.has(modulusLength)) {
    throw refusal('modulus', `${where} is RSA of ${modulusLength} bits; 2048, 3072 or 4096 are taken.`);
  }
  if (publicExponent !== 65_537n) {
    throw refusal('exponent', `${where} is RSA with the public exponent ${publicExponent}; only 65537 is taken.`);
  }
  if (wanted.startsWith('RS') || wanted.startsWith('PS')) return wanted;
  throw refusal('algorithm', `${where} is RSA and cannot do ${wanted}.`);
}

function forCurve({ asymmetricKeyDetails }: KeyObject, wanted: Algorithm | undefined, where: string): Algorithm {
  const { namedCurve = 'without a name' } = asymmetricKeyDetails ?? {};
  const curve = CURVES.get(namedCurve);
  if (!curve) throw refusal('curve', `${where} is on the curve ${namedCurve}, not P-256, P-384 or P-521.`);
  if (wanted === undefined || wanted === curve.algorithm) return curve.algorithm;
  if (!wanted.startsWith('ES')) throw refusal('algorithm', `${where} is an EC key and cannot do ${wanted}.`);
  throw refusal('curve', `${where} is on ${curve.name}, the curve of ${curve.algorithm}, not of ${wanted}.`);
}

function forSecret({ symmetricKeySize = 0 }: KeyObject, wanted: Algorithm | undefined, where: string): Algorithm {
  if (wanted === undefined) {
    throw refusal('algorithm', `${where} is a secret and says no alg. Say --algorithm HS256, HS384 or HS512.`);
  }
  if (!isHmac(wanted)) throw refusal('algorithm', `${where} is a secret and cannot do ${wanted}.`);
  const least = Number(wanted.slice(2)) / 8;
  if (symmetricKeySize >= least) return wanted;
  throw refusal(
    'hmac_too_short',
    `${where} is a secret of ${symmetricKeySize} bytes; ${wanted} wants ${least} at least (RFC 7518 section 3.2).`,
  );
}
