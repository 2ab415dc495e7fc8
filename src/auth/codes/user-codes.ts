import { createHash, randomBytes } from 'node:crypto';
import type { EntityManager } from 'typeorm';

const HOUR_MS = 60 * 60_000;

/** What a code is for that sets a user's password, and how long it works. */
const LIFE_MS = { invitation: 72 * HOUR_MS, reset: 24 * HOUR_MS } as const;

/** A code to be handed on. It is shown this once and stored nowhere. */
export interface IssuedCode {
  readonly code: string;
  /** Milliseconds since 1970, exclusive. */
  readonly expiresAt: number;
}

/** What is stored of a code. */
export const hashOfCode = (code: string): Buffer => createHash('sha256').update(code).digest();

/** A code that sets this user's password; earlier ones become worthless. Call it within inChange(). */
export async function issueCodeFor(
  manager: EntityManager,
  userId: string,
  purpose: keyof typeof LIFE_MS,
  now: number,
): Promise<IssuedCode> {
  await voidCodesOf(manager, userId);
  const code = randomBytes(24).toString('base64url');
  const expiresAt = now + LIFE_MS[purpose];
  await manager.query(
    'INSERT INTO keyturn.one_time_codes (code_hash, purpose, user_id, expires_at) VALUES ($1, $2, $3, $4)',
    [hashOfCode(code), purpose, userId, new Date(expiresAt)],
  );
  return { code, expiresAt };
}

/** No code that this user was given works any more. */
export async function voidCodesOf(manager: EntityManager, userId: string): Promise<void> {
  await manager.query(
    'UPDATE keyturn.one_time_codes SET redeemed_at = keyturn.clock() WHERE user_id = $1 AND redeemed_at IS NULL',
    [userId],
  );
}
