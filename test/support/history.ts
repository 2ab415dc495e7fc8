import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { z } from 'zod';

const entrySchema = z.object({
  at: z.string(),
  event: z.string(),
  version: z.number().nullable(),
  kid: z.string().nullable(),
  subject: z.string().nullable(),
  actor: z.string().nullable(),
  reason: z.string().nullable(),
  request_id: z.string().nullable(),
  session_user: z.string(),
  client_addr: z.string().nullable(),
  application_name: z.string(),
  old: z.record(z.string(), z.unknown()).nullable(),
  new: z.record(z.string(), z.unknown()).nullable(),
});

export interface HistoryRow {
  readonly seq: number;
  readonly prevHash: string;
  readonly entry: string;
  readonly hash: string;
  readonly said: z.infer<typeof entrySchema>;
}

export async function history(db: ClientBase): Promise<HistoryRow[]> {
  const { rows } = await db.query<{ seq: string; prev_hash: string; entry: string; hash: string }>(
    'SELECT seq, prev_hash, entry, hash FROM keyturn.audit_log ORDER BY seq',
  );
  return rows.map(({ seq, prev_hash: prevHash, entry, hash }) => ({
    seq: Number(seq),
    prevHash,
    entry,
    hash,
    said: entrySchema.parse(JSON.parse(entry)),
  }));
}

/** With arithmetic of its own: the seq of rows that do not follow from the row before. */
export function brokenLinks(rows: readonly HistoryRow[]): number[] {
  const fits = (row: HistoryRow, index: number): boolean =>
    row.seq === index + 1 &&
    row.prevHash === (rows[index - 1]?.hash ?? '0'.repeat(64)) &&
    row.hash === createHash('sha256').update(row.prevHash).update(row.entry).digest('hex');
  return rows.filter((row, index) => !fits(row, index)).map((row) => row.seq);
}

/** The fields of one key or user. */
type Facts = Readonly<Record<string, unknown>>;

/** Keys as the events, from the beginning, make them. */
export function foldedKeys(rows: readonly HistoryRow[]): Map<number, Facts> {
  const keys = new Map<number, Facts>();
  for (const { said } of rows) {
    if (said.version === null || said.event === 'resealed') continue;
    keys.set(said.version, withoutNulls({ ...keys.get(said.version), ...said.new }));
  }
  return keys;
}

/** Keys as they are. */
export async function keysAsTheyAre(db: ClientBase): Promise<Map<number, Facts>> {
  await db.query(`SET timezone = 'UTC'`);
  const { rows } = await db.query<{ version: number; facts: Facts }>(
    'SELECT version, to_jsonb(k) AS facts FROM keyturn.signing_keys k ORDER BY version',
  );
  return new Map(rows.map((row) => [row.version, withoutNulls(row.facts)]));
}

/** Id, roles, standing and ver of users, as the events make them. */
export function foldedUsers(rows: readonly HistoryRow[]): Map<string, Facts> {
  const users = new Map<string, Facts>();
  for (const { said } of rows) {
    if (said.subject === null || said.event === 'user_sessions_ended') continue;
    if (said.event === 'user_erased') users.delete(said.subject);
    else users.set(said.subject, withoutNulls({ ...users.get(said.subject), ...said.new }));
  }
  return users;
}

export async function usersAsTheyAre(db: ClientBase): Promise<Map<string, Facts>> {
  await db.query(`SET timezone = 'UTC'`);
  const { rows } = await db.query<{ id: string; facts: Facts }>(
    `SELECT id, jsonb_build_object('roles', roles, 'disabled_at', disabled_at, 'ver', ver, 'reset_at', reset_at) AS facts
     FROM keyturn.users`,
  );
  return new Map(rows.map((row) => [row.id, withoutNulls(row.facts)]));
}

const withoutNulls = (facts: Facts): Facts =>
  Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null));
