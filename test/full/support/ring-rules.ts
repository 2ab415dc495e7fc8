import type { ClientBase } from 'pg';
import { only, type KeyRow } from '../../support/signing-keys.js';

/** A key as the database has it. Lengths in milliseconds. */
export interface RingRow extends KeyRow {
  readonly lead_ms: number;
  readonly max_token_ttl_ms: number;
  readonly verify_tail_ms: number;
  readonly has_half: boolean;
  /** No server that runs opens its private half. */
  readonly shut: boolean;
}

/** Everything that can be seen of the ring at one moment. */
export interface Snapshot {
  /** By the database's clock, milliseconds since 1970. */
  readonly now: number;
  readonly keys: readonly RingRow[];
  readonly generation: number;
  readonly history: { readonly ok: boolean; readonly problem: string | null };
}

export async function lookAt(db: ClientBase): Promise<Snapshot> {
  const { rows: keys } = await db.query<RingRow>(`
    SELECT k.*, (extract(epoch FROM lead) * 1000)::float8 AS lead_ms, (extract(epoch FROM max_token_ttl) * 1000)::float8 AS max_token_ttl_ms,
      (extract(epoch FROM verify_tail) * 1000)::float8 AS verify_tail_ms, s.version IS NOT NULL AS has_half, keyturn.is_shut(k.version) AS shut
    FROM keyturn.signing_keys k LEFT JOIN keyturn.signing_key_secrets s USING (version) ORDER BY k.version`);
  const { now, generation, ok, problem } = only(
    await db.query<{ now: Date; generation: string; ok: boolean; problem: string | null }>(
      'SELECT keyturn.clock() AS now, keyturn.key_generation() AS generation, ok, problem FROM audit.verify_history()',
    ),
  );
  return { now: now.getTime(), keys, generation: Number(generation), history: { ok, problem } };
}

const end = ({ retires_at: at }: KeyRow): number => at?.getTime() ?? Infinity;

export const isSigner = (key: KeyRow, at: number): boolean =>
  key.signs && key.revoked_at === null && key.activates_at.getTime() <= at && at < end(key);

export const isStandby = (key: KeyRow, at: number): boolean =>
  key.signs && key.revoked_at === null && key.activates_at.getTime() > at;

/** The name of a pair: equal for all rows that hold it. */
export function pairOf(key: KeyRow, keys: readonly KeyRow[]): string {
  if (key.thumbprint !== null) return key.thumbprint;
  const parent = keys.find(({ version }) => version === key.renewed_from);
  return parent ? pairOf(parent, keys) : `secret of version ${key.version}`;
}

/** What holds at every moment, by keys.md, and does not: in words. */
export function brokenAt({ now, keys, history }: Snapshot, refreshBound: number): string[] {
  return [
    ...keys.flatMap((key, index) =>
      key.version === index + 1 ? [] : [`version ${key.version} where ${index + 1} was due`],
    ),
    ...brokenWindows(keys),
    ...brokenSigner(keys, now),
    ...keys.flatMap((key) => brokenRow(key)),
    ...brokenPairs(keys),
    ...brokenHalves(keys, now, refreshBound),
    ...(history.ok ? [] : [`the history does not verify: ${history.problem}`]),
  ];
}

function brokenWindows(keys: readonly RingRow[]): string[] {
  const windows = keys
    .filter((key) => key.signs && end(key) !== key.activates_at.getTime())
    .toSorted((one, other) => one.activates_at.getTime() - other.activates_at.getTime());
  return windows.flatMap((key, index) => {
    const next = windows[index + 1];
    const revoked = keys.some((other) => other.revoked_at?.getTime() === end(key));
    if (!next) return end(key) === Infinity || revoked ? [] : [`version ${key.version} ends and nobody follows`];
    const begins = next.activates_at.getTime();
    if (end(key) > begins) return [`versions ${key.version} and ${next.version} sign at once`];
    return end(key) === begins || revoked ? [] : [`nobody signs between versions ${key.version} and ${next.version}`];
  });
}

function brokenSigner(keys: readonly RingRow[], now: number): string[] {
  const signers = keys.filter((key) => isSigner(key, now)).length;
  if (signers > 1) return [`${signers} keys sign`];
  return signers === 0 && keys.some((key) => isStandby(key, now) && !key.shut)
    ? ['a standby waits while nobody signs']
    : [];
}

function brokenRow(key: RingRow): string[] {
  if (!key.signs) return key.has_half ? [`version ${key.version} never signs and has a private half`] : [];
  const lead = key.activates_at.getTime() - key.published_at.getTime();
  const tail = key.retires_at && (key.expires_at?.getTime() ?? 0) - key.retires_at.getTime();
  return [
    ...(['scheduled', 'early'].includes(key.activation ?? '') && lead < key.lead_ms
      ? [`version ${key.version} (${key.activation}) was public for ${lead} ms before it signed`]
      : []),
    ...(tail !== null && tail < key.verify_tail_ms
      ? [`version ${key.version} verifies for ${tail} ms after it signed`]
      : []),
    ...(key.verify_tail_ms < key.max_token_ttl_ms ? [`tokens outlive version ${key.version}`] : []),
  ];
}

/** A pair that was revoked for a reason that bans it is revoked in every row that holds it: none may follow later either. */
function brokenPairs(keys: readonly RingRow[]): string[] {
  const banned = new Set(
    keys
      .filter((key) => key.revoked_at !== null && key.revocation_reason !== 'superseded')
      .map((key) => pairOf(key, keys)),
  );
  return keys
    .filter((key) => key.revoked_at === null && banned.has(pairOf(key, keys)))
    .map((key) => `the pair of version ${key.version} was revoked and lives`);
}

/** May this row still need its private half? HMAC verifies with it too. */
function needsHalf(key: RingRow, at: number, refreshBound: number): boolean {
  if (!key.signs || key.revoked_at !== null) return false;
  const last = key.algorithm.startsWith('HS') ? (key.expires_at?.getTime() ?? Infinity) : end(key);
  return last + refreshBound > at;
}

function brokenHalves(keys: readonly RingRow[], now: number, refreshBound: number): string[] {
  return keys.flatMap((key) => [
    ...(key.signs && key.has_half !== (key.private_key_destroyed_at === null)
      ? [`version ${key.version}: its private half and what is said of it disagree`]
      : []),
    ...(!key.has_half && needsHalf(key, now, refreshBound)
      ? [`the private half of version ${key.version} is gone`]
      : []),
  ]);
}

const INSTANTS = ['published_at', 'activates_at', 'retires_at', 'expires_at'] as const;
const FINAL = ['revoked_at', 'private_key_destroyed_at'] as const;
const FACTS = ['kid', 'algorithm', 'signs', 'origin', 'renewed_from', 'thumbprint'] as const;
const LENGTHS = ['lead_ms', 'max_token_ttl_ms', 'verify_tail_ms'] as const;

/** Which facts did not stay facts from one moment to a later one. */
export function brokenFacts(before: Snapshot, after: Snapshot): string[] {
  return before.keys.flatMap((old) => {
    const key = after.keys.find(({ version }) => version === old.version);
    if (!key) return [`version ${old.version} is gone`];
    const changed = (what: string): string => `${what} of version ${old.version} changed`;
    const moved = INSTANTS.filter((name) => old[name]?.getTime() !== key[name]?.getTime());
    return [
      ...[...FACTS, ...LENGTHS].filter((name) => old[name] !== key[name]).map(changed),
      ...(JSON.stringify(old.public_jwk) === JSON.stringify(key.public_jwk) ? [] : [changed('public_jwk')]),
      ...FINAL.filter((name) => old[name] && old[name].getTime() !== key[name]?.getTime()).map(changed),
      ...moved.filter((name) => old[name] && old[name].getTime() <= before.now).map(changed),
      ...moved
        .filter((name) => key[name] && key[name].getTime() < before.now)
        .map((name) => `${changed(name)} into the past`),
      ...(old.activation !== key.activation && old.activates_at.getTime() <= before.now ? [changed('activation')] : []),
    ];
  });
}

/** What a run of the tick that succeeded leaves undone. */
export function undoneAfterTick({ now, keys }: Snapshot, refreshBound: number): string[] {
  const needed = new Set(
    keys.filter((key) => needsHalf(key, now - 1_000, refreshBound)).map((key) => pairOf(key, keys)),
  );
  return [
    ...(keys.some((key) => isSigner(key, now)) ? [] : ['nobody signs']),
    ...(keys.filter((key) => isStandby(key, now)).length === 1 ? [] : ['not one standby waits']),
    ...keys
      .filter((key) => key.has_half && !needed.has(pairOf(key, keys)))
      .map((key) => `the private half of version ${key.version} is still there`),
  ];
}

/** What was minted otherwise than the policy says. */
export function mintedAmiss(
  before: Snapshot,
  after: Snapshot,
  policy: {
    rotationInterval: number;
    publishLead: number;
    maxTokenTtl: number;
    refreshBound: number;
    clockSkew: number;
  },
): string[] {
  const tail = policy.refreshBound + policy.maxTokenTtl + policy.clockSkew;
  const minted = after.keys.slice(before.keys.length);
  const wanted = Number(!before.keys.some((key) => isSigner(key, after.now) || isStandby(key, after.now)));
  if (minted.length > 1 + wanted) return [`${minted.length} keys were minted where ${1 + wanted} would have done`];
  return minted.flatMap((key) => {
    const [published, activates] = [key.published_at.getTime(), key.activates_at.getTime()];
    const signer = after.keys.find((other) => isSigner(other, published) && other.version !== key.version);
    const due = Math.max(
      (signer?.activates_at.getTime() ?? 0) + policy.rotationInterval,
      published + policy.publishLead,
    );
    const stamped = [key.lead_ms, key.max_token_ttl_ms, key.verify_tail_ms].join();
    return [
      ...(key.activation === 'scheduled' && activates !== due
        ? [`version ${key.version} is due ${activates - due} ms after its time`]
        : []),
      ...(stamped === [policy.publishLead, policy.maxTokenTtl, tail].join()
        ? []
        : [`version ${key.version} was not made under the policy: ${stamped}`]),
    ];
  });
}
