import { calculateJwkThumbprint, exportJWK } from 'jose';
import { publicMembers } from '../key-material.js';
import type { Instant } from '../signing-key.js';
import type { VerifyOnlyKey } from '../store/signing-key-writes.js';
import { chooseAlgorithm } from './choose-algorithm.js';
import type { FoundKey } from './found-key.js';
import { refuseBadKid, refuseRevoked, type ImportWishes, type ImportWorld } from './import-rules.js';
import { refusal } from './refusal.js';

/** What a file of public keys comes to. */
export interface Admission {
  readonly keys: readonly VerifyOnlyKey[];
  /** Kids that were passed over, because their end has come. */
  readonly expired: readonly string[];
}

/**
 * Public keys that are to verify, each from its creation to its end. Entries whose end has come are passed over unjudged.
 * @throws KeyturnError `key_change_refused`, for the whole file: half of a list would be found out too late
 */
export async function planAdmission(
  found: readonly FoundKey[],
  wishes: ImportWishes,
  world: ImportWorld,
): Promise<Admission> {
  refuseSecrets(found);
  if (wishes.kid !== undefined && found.length > 1) {
    throw refusal('kid', `--kid names one key; the file holds ${found.length}.`);
  }
  const named = found.map((entry) => ({ entry, kid: nameIn(entry, wishes), expiresAt: endIn(entry, wishes) }));
  refuseTwice(named.map(({ kid }) => kid));
  const live = named.filter(({ expiresAt }) => expiresAt > world.now);
  if (live.length === 0) {
    throw refusal('expired', 'The end of every key in the file has come: nothing is left to import.');
  }
  const keys = await Promise.all(live.map(({ entry, ...name }) => verifyOnly({ ...entry, ...name }, wishes, world)));
  return { keys, expired: named.filter(({ expiresAt }) => expiresAt <= world.now).map(({ kid }) => kid) };
}

async function verifyOnly(
  entry: FoundKey & { readonly kid: string; readonly expiresAt: Instant },
  { algorithm: asked }: ImportWishes,
  world: ImportWorld,
): Promise<VerifyOnlyKey> {
  const { where, kid, expiresAt } = entry;
  const { now, maxTokenTtl } = world;
  const algorithm = chooseAlgorithm(entry, asked);
  const publicJwk = publicMembers(await exportJWK(entry.key));
  const thumbprint = await calculateJwkThumbprint(publicJwk, 'sha256');
  refuseRevoked(thumbprint, where, world);
  refuseBadKid(kid, thumbprint, where, world);
  // Of unknown age: as old as the oldest token that may still be good.
  const createdAt = entry.createdAt ?? now - maxTokenTtl;
  if (createdAt >= expiresAt) throw refusal('time', `${where} expires before it was created.`);
  return { kid, algorithm, publicJwk, thumbprint, createdAt, expiresAt, maxTokenTtl };
}

function refuseSecrets(found: readonly FoundKey[]): void {
  const secret = found.find(({ key }) => key.type !== 'public');
  if (!secret) return;
  const what = secret.key.type === 'secret' ? 'a secret, which signs as well as it verifies' : 'a private key';
  throw refusal(
    'public_expected',
    `${secret.where} is ${what}; --verify-only takes public keys. If it is to sign, leave --verify-only out.`,
  );
}

function nameIn({ kid, where }: FoundKey, wishes: ImportWishes): string {
  const name = wishes.kid ?? kid;
  if (name !== undefined) return name;
  throw refusal('kid_missing', `${where} has no kid. Say with --kid what the tokens signed with it call it.`);
}

function endIn({ expiresAt, where }: FoundKey, wishes: ImportWishes): Instant {
  const end = expiresAt ?? wishes.expiresAt;
  if (end !== undefined) return end;
  throw refusal('expiry_missing', `${where} has no end, and would verify for ever. Say --expires-at.`);
}

function refuseTwice(kids: readonly string[]): void {
  const twice = kids.find((kid, index) => kids.indexOf(kid) !== index);
  if (twice !== undefined) throw refusal('kid', `The file names the kid ${JSON.stringify(twice.slice(0, 64))} twice.`);
}
