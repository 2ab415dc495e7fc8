import { z } from 'zod';
import { ALGORITHMS } from '../../config/settings.js';
import type { Instant } from '../signing-key.js';
import { nameOf, type FoundKey } from './found-key.js';
import { parseInstant } from './instant-text.js';
import { holdsPrivatePem, readPem } from './read-pem.js';
import { refusal, type ExchangeRefusal } from './refusal.js';

/** An absent end or beginning is written as null by some, left out by others. */
const time = z.string().nullish();

/** Members we do not know are passed over, unless a private key is in one. */
const entrySchema = z.looseObject({
  kid: z.union([z.string(), z.int().nonnegative().transform(String)]),
  public_key: z.string(),
  created_at: time,
  expires_at: time,
  algorithm: z.enum(ALGORITHMS).nullish(),
  alg: z.enum(ALGORITHMS).nullish(),
});

const REASONS: ReadonlyMap<string, ExchangeRefusal> = new Map([
  ['kid', 'kid'],
  ['algorithm', 'algorithm'],
  ['alg', 'algorithm'],
]);

/**
 * A `keys.json`: `[{"kid": "1", "public_key": "-----BEGIN PUBLIC KEY…", "created_at": "…", "expires_at": "…"}]`. Numeric kids become text,
 * times without a zone are UTC; `algorithm` or `alg` may be there.
 * @throws KeyturnError `key_change_refused`
 */
export const readKeyList = (values: readonly unknown[]): readonly FoundKey[] =>
  values.map((value, index) => readEntry(value, index, values.length));

function readEntry(value: unknown, index: number, count: number): FoundKey {
  const place = nameOf(index, count);
  const read = entrySchema.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues;
    const member = issue?.path.join('.') ?? '';
    throw refusal(
      REASONS.get(member) ?? 'damaged',
      `${place} is no entry of a key list: ${member} ${issue?.message ?? ''}`,
    );
  }
  const entry = read.data;
  const where = nameOf(index, count, entry.kid);
  if (Object.values(entry).some((member) => typeof member === 'string' && holdsPrivatePem(member))) {
    throw refusal(
      'public_expected',
      `${where} holds a private key. A list of keys to verify with has public ones only.`,
    );
  }
  return {
    ...readPem(entry.public_key, where),
    kid: entry.kid,
    algorithm: entry.algorithm ?? entry.alg ?? undefined,
    createdAt: instant(entry.created_at, 'created_at', where),
    expiresAt: instant(entry.expires_at, 'expires_at', where),
  };
}

function instant(text: string | null | undefined, member: string, where: string): Instant | undefined {
  if (text === null || text === undefined) return undefined;
  const at = parseInstant(text);
  if (at !== undefined) return at;
  throw refusal(
    'time',
    `${where}: ${member} ${JSON.stringify(text.slice(0, 40))} is no time such as 2026-11-01T09:30:00Z.`,
  );
}
