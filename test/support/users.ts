import { randomBytes } from 'node:crypto';
import type { ClientBase } from 'pg';
import { only } from './signing-keys.js';

export interface UserRow {
  readonly id: string;
  readonly username: string;
  readonly roles: readonly string[];
  readonly ver: number;
  readonly disabled_at: Date | null;
}

export async function addUser(
  db: ClientBase,
  {
    username = `user-${randomBytes(6).toString('hex')}`,
    roles = [],
  }: { username?: string; roles?: readonly string[] } = {},
): Promise<UserRow> {
  return only(
    await db.query<UserRow>('INSERT INTO keyturn.users (username, roles) VALUES ($1, $2) RETURNING *', [
      username,
      roles,
    ]),
  );
}

/** A session of a day that is idle after an hour. */
export async function addSession(db: ClientBase, userId: string): Promise<string> {
  const { id } = only(
    await db.query<{ id: string }>(
      `INSERT INTO keyturn.sessions (user_id, idle_expires_at, expires_at, refresh_hash)
       VALUES ($1, keyturn.clock() + interval '1 hour', keyturn.clock() + interval '1 day', $2) RETURNING id`,
      [userId, randomBytes(32)],
    ),
  );
  return id;
}
