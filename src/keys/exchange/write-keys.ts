import type { JWK } from 'jose';
import { iso } from '../../common/iso.js';
import type { KeyPolicy } from '../../config/config.js';
import { publicMembers, verificationKey } from '../key-material.js';
import { dueAfter } from '../planning/plan-keys.js';
import { isHmac, signerAmong, stateOf, type Instant, type SigningKey } from '../signing-key.js';
import { refusal } from './refusal.js';

/** `pem` and `jwk` hold one key, the others a list. */
export const EXPORT_FORMATS = ['pem', 'jwk', 'jwks', 'keys.json'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export interface Export {
  readonly text: string;
  readonly keys: readonly SigningKey[];
  /** Kids of HMAC keys that verify now and have nothing to show. */
  readonly leftOut: readonly string[];
}

/**
 * The public halves of keys that verify now or will: one by kid, or all of them; for a format that holds one key, the one that signs.
 * @throws KeyturnError `key_change_refused`
 */
export function exportKeys(
  { keys, now }: { readonly keys: readonly SigningKey[]; readonly now: Instant },
  policy: KeyPolicy,
  format: ExportFormat,
  kid?: string,
): Export {
  const chosen = kid === undefined ? withoutKid(keys, format, now) : [byKid(keys, kid, now)];
  const shown = chosen.filter((key) => key.publicJwk !== null);
  if (shown.length === 0 && chosen.length > 0) {
    throw refusal(
      'no_public_half',
      `${chosen.map((key) => key.kid).join(', ')}: an HMAC key has no public half, and its secret is never given out.`,
    );
  }
  if (shown.length === 0)
    throw refusal('not_found', 'There is no key to export yet: the first server that starts makes them.');
  return {
    text: `${write(format, shown, policy, now)}\n`,
    keys: shown,
    leftOut: chosen.filter((key) => key.publicJwk === null).map((key) => key.kid),
  };
}

const verifiesStill = (key: SigningKey, now: Instant): boolean => !['expired', 'revoked'].includes(stateOf(key, now));

function withoutKid(keys: readonly SigningKey[], format: ExportFormat, now: Instant): readonly SigningKey[] {
  if (format === 'jwks' || format === 'keys.json') return keys.filter((key) => verifiesStill(key, now));
  const signer = signerAmong(keys, now);
  if (signer) return [signer];
  throw refusal('not_found', 'No key signs at the moment. Name the one that is meant.');
}

function byKid(keys: readonly SigningKey[], kid: string, now: Instant): SigningKey {
  const key = keys.find((candidate) => candidate.kid === kid);
  if (!key) throw refusal('not_found', `There is no key ${kid}.`);
  if (verifiesStill(key, now)) return key;
  throw refusal('expired', `${kid} is ${stateOf(key, now)}: nobody should verify with it.`);
}

function write(format: ExportFormat, keys: readonly SigningKey[], policy: KeyPolicy, now: Instant): string {
  switch (format) {
    case 'pem':
      return keys.map(spki).join('\n');
    case 'jwk':
      return keys.map((key) => json(jwk(key))).join('\n');
    case 'jwks':
      return json({ keys: keys.map(jwk) });
    case 'keys.json':
      return json(keys.map((key) => entry(key, policy, now)));
  }
}

const json = (value: unknown): string => JSON.stringify(value, null, 2);

/** Made of members that may pass (RFC 7517 section 4), whatever else the row may hold. */
const jwk = (key: SigningKey): JWK => ({
  ...publicMembers(key.publicJwk ?? {}),
  kid: key.kid,
  alg: key.algorithm,
  use: 'sig',
});

const spki = ({ algorithm, publicJwk, kid }: SigningKey): string => {
  const key = isHmac(algorithm) ? undefined : verificationKey(algorithm, publicJwk, undefined);
  if (!key) throw refusal('no_public_half', `${kid} has no public half.`);
  return key.export({ type: 'spki', format: 'pem' }).toString().trimEnd();
};

const entry = (key: SigningKey, policy: KeyPolicy, now: Instant) => ({
  kid: key.kid,
  public_key: `${spki(key)}\n`,
  created_at: iso(Math.min(key.publishedAt, key.activatesAt)),
  expires_at: iso(plannedExpiry(key, policy, now)),
});

/** When tokens under a key stop verifying; for one whose successor is not there yet, when that will be if nobody interferes. */
const plannedExpiry = (key: SigningKey, policy: KeyPolicy, now: Instant): Instant =>
  key.expiresAt ?? dueAfter(key, policy, now) + key.verifyTail;
