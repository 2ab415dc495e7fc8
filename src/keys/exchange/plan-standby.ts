import jsonwebtoken from 'jsonwebtoken';
import { asymmetricMaterial, verificationKey, type KeyMaterial } from '../key-material.js';
import { chooseAlgorithm } from './choose-algorithm.js';
import type { FoundKey } from './found-key.js';
import { refuseBadKid, refuseRevoked, type ImportWishes, type ImportWorld } from './import-rules.js';
import { refusal } from './refusal.js';

/** A pair from outside that may become the standby. Without a kid it gets one of ours. */
export interface ImportedPair {
  readonly material: KeyMaterial;
  readonly kid: string | undefined;
}

/**
 * The one pair of a file, proven to be one.
 * @throws KeyturnError `key_change_refused`
 */
export async function planStandby(
  found: readonly FoundKey[],
  wishes: ImportWishes,
  world: ImportWorld,
): Promise<ImportedPair> {
  const only = onlyPair(found);
  if (wishes.expiresAt !== undefined) {
    throw refusal(
      'time',
      '--expires-at is for keys that verify only: how long a key signs follows from KEY_ROTATION_INTERVAL.',
    );
  }
  const algorithm = chooseAlgorithm(only, wishes.algorithm);
  const material: KeyMaterial =
    only.key.type === 'secret'
      ? { algorithm, privateKey: only.key, publicJwk: null, thumbprint: null }
      : await asymmetricMaterial(algorithm, only.key);
  proveHalvesBelongTogether(material, only.where);
  if (material.thumbprint !== null) refuseRevoked(material.thumbprint, only.where, world);
  const kid = wishes.kid ?? only.kid;
  if (kid !== undefined) refuseBadKid(kid, material.thumbprint, only.where, world);
  return { material, kid };
}

function onlyPair(found: readonly FoundKey[]): FoundKey {
  const [first, ...others] = found.filter(({ key }) => key.type !== 'public');
  if (!first) {
    throw refusal(
      'private_expected',
      'The file holds public keys only, which cannot sign. To verify tokens signed elsewhere, say --verify-only.',
    );
  }
  if (others.length === 0 && found.length === 1) return first;
  throw refusal(
    'several_keys',
    `The file holds ${found.length} keys, and one becomes the standby. Put the one that is meant into a file of its own.`,
  );
}

/** A JWK may hold halves of different pairs, and OpenSSL takes it: from the takeover on, every token would be refused. */
function proveHalvesBelongTogether({ algorithm, privateKey, publicJwk }: KeyMaterial, where: string): void {
  const verifier = verificationKey(algorithm, publicJwk, privateKey);
  try {
    const token = jsonwebtoken.sign({}, privateKey, { algorithm });
    if (verifier) jsonwebtoken.verify(token, verifier, { algorithms: [algorithm] });
  } catch {
    throw refusal('halves_differ', `${where}: what its private half signs, its public half does not verify.`);
  }
}
