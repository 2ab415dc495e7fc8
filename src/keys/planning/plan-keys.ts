import type { KeyPolicy } from '../../config/config.js';
import { KeyturnError } from '../../common/errors.js';
import {
  isHmac,
  signerAmong,
  standbyAmong,
  stateOf,
  type Activation,
  type Instant,
  type SigningKey,
} from '../signing-key.js';

/** A key to be made, without its material. Times are milliseconds since 1970. */
export interface Mint {
  readonly activation: Extract<Activation, 'bootstrap' | 'scheduled' | 'emergency'>;
  readonly activatesAt: Instant;
  readonly lead: number;
  readonly maxTokenTtl: number;
  readonly verifyTail: number;
}

/** A takeover moved: the standby begins, and the key before it ends, at `at`. */
export interface Takeover {
  readonly version: number;
  readonly activation: Exclude<Activation, 'bootstrap'>;
  readonly at: Instant;
}

/** What is to be done to the ring, in this order. Nothing at all is the steady state. */
export interface KeyPlan {
  readonly takeover?: Takeover;
  readonly mints: readonly Mint[];
  /** Versions whose private halves end now. */
  readonly destroy: readonly number[];
  /** What cannot be done here and is wanted: a missing key-encryption key is an error, not an absence of keys. */
  readonly stuck?: KeyturnError;
}

/** What this process and the others know of private halves. */
export interface Readability {
  /** Can this process open the private half of the version? */
  readonly opensHere: (version: number) => boolean;
  /** Can this or any other live replica? */
  readonly opensAnywhere: (version: number) => boolean;
}

/**
 * What has to be done so that one key signs and a standby waits. Convergent: after it is done there is nothing to do. Where nobody signs,
 * the standby does from now on, if it can be opened: it could not when the signer was revoked, or the clock was set back behind it.
 */
export function planKeys(keys: readonly SigningKey[], policy: KeyPolicy, now: Instant, readable: Readability): KeyPlan {
  const destroy = halvesToDestroy(keys, policy, now);
  // Where the clock was set back, one that has ended may seem active again: without its private half it signs no more.
  const whole = keys.filter((key) => key.privateKeyDestroyedAt === null);
  const signer = signerAmong(whole, now);
  const standby = standbyAmong(whole, now);
  if (standby) {
    if (signer) return { ...postponed(standby, policy, now, readable), mints: [], destroy };
    return { ...inNeed(whole, standby, policy, now, readable), destroy };
  }

  const stuck = unreadable(keys, now, readable);
  if (stuck) return { mints: [], destroy, stuck };
  if (signer) return { mints: [mint('scheduled', dueAfter(signer, policy, now), policy)], destroy };
  const first = mint(keys.some((key) => key.signs) ? 'emergency' : 'bootstrap', now, policy);
  return { mints: [first, mint('scheduled', dueAfter(first, policy, now), policy)], destroy };
}

/** Is there nothing to do? */
export const isSettled = (plan: KeyPlan): boolean =>
  plan.takeover === undefined && plan.mints.length === 0 && plan.destroy.length === 0;

/** When the successor of a key is due: a whole interval after it began, and never before it was public for its lead. */
export const dueAfter = (signer: Pick<SigningKey, 'activatesAt'>, policy: KeyPolicy, now: Instant): Instant =>
  Math.max(signer.activatesAt + policy.rotationInterval, now + policy.publishLead);

function mint(activation: Mint['activation'], activatesAt: Instant, policy: KeyPolicy): Mint {
  return {
    activation,
    activatesAt,
    lead: policy.publishLead,
    maxTokenTtl: policy.maxTokenTtl,
    verifyTail: policy.refreshBound + policy.maxTokenTtl + policy.clockSkew,
  };
}

/** A standby that nobody can open must not take over: its takeover moves back, half a lead before it is due. */
function postponed(
  standby: SigningKey,
  policy: KeyPolicy,
  now: Instant,
  readable: Readability,
): Pick<KeyPlan, 'takeover'> {
  if (readable.opensAnywhere(standby.version) || standby.activatesAt >= now + policy.publishLead / 2) return {};
  return { takeover: { version: standby.version, activation: 'scheduled', at: now + policy.publishLead } };
}

/** Nobody signs: the standby does at once, as soon as anybody can open it. */
function inNeed(
  keys: readonly SigningKey[],
  standby: SigningKey,
  policy: KeyPolicy,
  now: Instant,
  readable: Readability,
): Omit<KeyPlan, 'destroy'> {
  if (!readable.opensAnywhere(standby.version)) {
    const stuck = new KeyturnError('keys_unavailable', `Nothing signs: ${shutStandby(standby.kid)}.`);
    return { ...postponed(standby, policy, now, readable), mints: [], stuck };
  }
  const takeover: Takeover = { version: standby.version, activation: 'emergency', at: now };
  const another = standbyAmong(
    keys.filter((key) => key !== standby),
    now,
  );
  if (another || unreadable(keys, now, readable)) return { takeover, mints: [] };
  return { takeover, mints: [mint('scheduled', dueAfter({ activatesAt: now }, policy, now), policy)] };
}

/** Why a standby does not take over although nobody signs, and the two ways out. A clause for a person. */
export const shutStandby = (kid: string): string =>
  `no running server opens ${kid}, which waits; give the servers its key-encryption key, or type keyturn keys replace-standby`;

function unreadable(keys: readonly SigningKey[], now: Instant, readable: Readability): KeyturnError | undefined {
  const shut = keys.filter((key) => maySign(key, now) && !readable.opensHere(key.version));
  if (shut.length === 0) return undefined;
  const kids = shut.map((key) => key.kid).join(', ');
  return new KeyturnError(
    'keys_unavailable',
    `No new signing key is made while the private half of ${kids} cannot be opened here. Check KEK_FILE.`,
  );
}

function maySign(key: SigningKey, now: Instant): boolean {
  const state = stateOf(key, now);
  return key.signs && (state === 'active' || state === 'pending') && key.privateKeyDestroyedAt === null;
}

/**
 * Private halves end once their key cannot sign any more (a replica may lag by the refresh bound), or is revoked, unless
 * another row still holds the same pair. An HMAC secret also verifies, so it stays until its key expires.
 */
function halvesToDestroy(keys: readonly SigningKey[], policy: KeyPolicy, now: Instant): number[] {
  const over = (key: SigningKey): boolean => {
    // A clock that was set back behind the revocation has to catch up: nothing ends before its cause.
    if (key.privateKeyDestroyedAt !== null || (key.revokedAt !== null && key.revokedAt <= now)) return true;
    const end = isHmac(key.algorithm) ? key.expiresAt : key.retiresAt;
    return end !== null && end + policy.refreshBound <= now;
  };
  return keys
    .filter((key) => key.signs && key.privateKeyDestroyedAt === null && over(key))
    .filter((key) => samePair(keys, key).every(over))
    .map((key) => key.version);
}

/** Every row that holds the same pair, this one included: by thumbprint, or for HMAC through `renewedFrom`. */
export function samePair(keys: readonly SigningKey[], key: SigningKey): readonly SigningKey[] {
  if (key.thumbprint !== null) return keys.filter((other) => other.thumbprint === key.thumbprint);
  const family = new Set([key.version]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const other of keys) {
      const related = family.has(other.version) || (other.renewedFrom !== null && family.has(other.renewedFrom));
      const parent = keys.some((child) => family.has(child.version) && child.renewedFrom === other.version);
      if (related || parent) family.add(other.version);
    }
  }
  return keys.filter((other) => family.has(other.version));
}

/** Where a new standby fits: in the place of the one that waits, never before it was public for its lead. */
export function planReplacement(
  keys: readonly SigningKey[],
  policy: KeyPolicy,
  now: Instant,
): { readonly mint: Mint; readonly displaced: SigningKey | undefined } {
  const signer = signerAmong(keys, now);
  const displaced = standbyAmong(keys, now);
  if (!signer) return { mint: mint(keys.some((key) => key.signs) ? 'emergency' : 'bootstrap', now, policy), displaced };
  const planned = displaced?.activatesAt ?? dueAfter(signer, policy, now);
  return { mint: mint('scheduled', Math.max(planned, now + policy.publishLead), policy), displaced };
}

/** What a person asks of a rotation. */
export interface RotationRequest {
  /** The version that is meant to retire: compare and set. */
  readonly fromVersion?: number | undefined;
  /** Go on although the standby is younger than its lead. */
  readonly force?: boolean | undefined;
}

/**
 * The standby takes over now.
 * @throws KeyturnError `version_conflict`, `standby_too_young` or `key_change_refused`.
 */
export function planRotation(keys: readonly SigningKey[], now: Instant, request: RotationRequest): Takeover {
  const signer = signerAmong(keys, now);
  if (request.fromVersion !== undefined && signer?.version !== request.fromVersion) {
    const found = signer ? `version ${signer.version} signs` : 'nothing signs';
    throw new KeyturnError(
      'version_conflict',
      `Version ${request.fromVersion} does not sign any more: ${found}. Nothing was changed.`,
      {
        activeVersion: signer?.version ?? null,
      },
    );
  }
  const standby = standbyAmong(keys, now);
  if (!standby) {
    throw new KeyturnError(
      'key_change_refused',
      'No standby is published yet. A running server publishes one within a minute; try again then.',
    );
  }
  const ready = standby.publishedAt + standby.lead;
  if (now >= ready) return { version: standby.version, activation: 'early', at: now };
  if (request.force) return { version: standby.version, activation: 'forced', at: now };
  throw new KeyturnError(
    'standby_too_young',
    `Standby ${standby.kid} was published less than its lead ago: caches may not know it yet. It can take over from ${new Date(ready).toISOString()}, or now by force.`,
    { from: new Date(ready).toISOString(), standby: standby.kid },
  );
}
