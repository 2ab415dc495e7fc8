import { KeyturnError } from '../../common/errors.js';
import type { Config, KeyPolicy } from '../../config/config.js';
import { formatDuration } from '../../config/duration.js';
import { planKeys, type KeyPlan, type Mint, type Readability, type Takeover } from './plan-keys.js';
import { signerAmong, standbyAmong, type Instant, type SigningKey } from '../signing-key.js';

/** In a forecast, every private half opens. */
const EVERYTHING_OPENS: Readability = { opensHere: () => true, opensAnywhere: () => true };

/**
 * What the keys look like after a plan is carried out: the same that the database makes of it. Keys that do not exist yet have no kid
 * and no material.
 */
export function afterPlan(keys: readonly SigningKey[], plan: KeyPlan, now: Instant): readonly SigningKey[] {
  const moved = plan.takeover ? afterTakeover(keys, plan.takeover) : keys;
  const minted = plan.mints.reduce((ring, mint) => afterMint(ring, mint, now), moved);
  return minted.map((key) => (plan.destroy.includes(key.version) ? { ...key, privateKeyDestroyedAt: now } : key));
}

/** The standby begins, and the key before it ends, at the same instant. */
export function afterTakeover(
  keys: readonly SigningKey[],
  { version, activation, at }: Takeover,
): readonly SigningKey[] {
  const planned = keys.find((key) => key.version === version)?.activatesAt;
  return keys.map((key) => {
    if (key.version === version) return { ...key, activation, activatesAt: at };
    return key.signs && key.revokedAt === null && key.retiresAt === planned ? endingAt(key, at) : key;
  });
}

/** Its window has no end yet. */
const isOpen = (key: SigningKey): boolean => key.signs && key.revokedAt === null && key.retiresAt === null;

function afterMint(keys: readonly SigningKey[], mint: Mint, now: Instant): readonly SigningKey[] {
  const version = Math.max(0, ...keys.map((key) => key.version)) + 1;
  const unborn: SigningKey = {
    ...mint,
    version,
    kid: `${version}-????????`,
    algorithm: 'RS256',
    signs: true,
    origin: 'generated',
    renewedFrom: null,
    publicJwk: null,
    thumbprint: null,
    publishedAt: now,
    retiresAt: null,
    expiresAt: null,
    revokedAt: null,
    revocationReason: null,
    privateKeyDestroyedAt: null,
  };
  return [...keys.map((key) => (isOpen(key) ? endingAt(key, mint.activatesAt) : key)), unborn];
}

const endingAt = (key: SigningKey, at: Instant): SigningKey => ({
  ...key,
  retiresAt: at,
  expiresAt: at + key.verifyTail,
});

/** Something that will happen if nobody interferes. */
export interface Forecast {
  readonly at: Instant;
  readonly event: 'published' | 'takes over' | 'expires';
  readonly version: number;
  readonly kid: string;
}

/** The schedule ahead, by the same function that keeps the keys in order, over the real rows. */
export function forecast(
  keys: readonly SigningKey[],
  policy: KeyPolicy,
  now: Instant,
  until: Instant,
): { readonly events: readonly Forecast[]; readonly keys: readonly SigningKey[] } {
  const published: Forecast[] = [];
  let ring = keys;
  for (let at: Instant | undefined = now; at !== undefined && at <= until; at = nextTakeover(ring, at)) {
    const before = ring.length;
    ring = afterPlan(ring, { ...planKeys(ring, policy, at, EVERYTHING_OPENS), destroy: [] }, at);
    published.push(
      ...ring
        .slice(before)
        .map((key) => ({ at: key.publishedAt, event: 'published' as const, version: key.version, kid: key.kid })),
    );
  }
  const ahead = (at: Instant | null): at is Instant => at !== null && at > now && at <= until;
  const lives = ring
    .filter((key) => key.revokedAt === null)
    .flatMap(({ activatesAt, expiresAt, signs, version, kid }): Forecast[] => [
      ...(signs && ahead(activatesAt) ? [{ at: activatesAt, event: 'takes over' as const, version, kid }] : []),
      ...(ahead(expiresAt) ? [{ at: expiresAt, event: 'expires' as const, version, kid }] : []),
    ]);
  return { events: [...published, ...lives].toSorted((a, b) => a.at - b.at), keys: ring };
}

/**
 * The schedule ahead under this configuration, which may be another than that of the server: a dry run.
 * @throws KeyturnError `setting_refused`, naming the rule and the key that forbid it
 */
export function tryOut(
  keys: readonly SigningKey[],
  { keys: policy, tokens }: Config,
  now: Instant,
  until: Instant,
): ReturnType<typeof forecast> {
  const broken = brokenBySettings(keys, tokens.accessTokenTtl, now);
  if (broken.length > 0) throw new KeyturnError('setting_refused', broken.join('\n'));
  return forecast(keys, policy, now, until);
}

const nextTakeover = (keys: readonly SigningKey[], now: Instant): Instant | undefined =>
  standbyAmong(keys, now)?.activatesAt;

/**
 * Which rules the settings would break over the keys there are, each naming the rule and the row: what refuses the start, and what a dry
 * run shows. Lengths in milliseconds.
 */
export function brokenBySettings(keys: readonly SigningKey[], accessTokenTtl: number, now: Instant): readonly string[] {
  return [signerAmong(keys, now), standbyAmong(keys, now)].flatMap((key) =>
    key && accessTokenTtl > key.maxTokenTtl
      ? [
          `ACCESS_TOKEN_TTL ${formatDuration(accessTokenTtl)} is longer than the ${formatDuration(key.maxTokenTtl)} that key ${key.kid} was made for: its tokens could outlive it. ` +
            `Raise KEY_MAX_TOKEN_TTL first, and ACCESS_TOKEN_TTL once keys made after that have taken over`,
        ]
      : [],
  );
}
