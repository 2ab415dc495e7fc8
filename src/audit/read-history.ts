import type { ClientBase } from 'pg';
import { readCheckpoint } from './checkpoint.js';
import type { ChainRow, Facts } from './history-entry.js';
import type { StoredHistory } from './verify-history.js';

/** Where to read: the auditor may read the views alone; whoever may read the tables need not believe the views. */
const PLACES = {
  views: { chain: 'audit.chain', keys: 'audit.signing_keys', users: 'audit.users', checkpoints: 'audit.checkpoints' },
  tables: {
    chain: 'keyturn.audit_log',
    keys: 'keyturn.signing_keys',
    users: 'keyturn.users',
    checkpoints: 'keyturn.audit_checkpoints',
  },
} as const;

const BATCH = 2_000;

interface RawRow {
  readonly seq: string;
  readonly prev_hash: string;
  readonly entry: string;
  readonly hash: string;
  readonly at: Date;
  readonly event: string;
  readonly version: number | null;
  readonly subject: string | null;
  readonly actor: string | null;
}

/** Reads history, checkpoints, keys and users in one snapshot, on a connection that is in no transaction. */
export async function readHistory(client: ClientBase, place: keyof typeof PLACES): Promise<StoredHistory> {
  const from = PLACES[place];
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    // As the triggers write history: the same instant is the same text.
    await client.query(`SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'postgres'`);
    const rows = await readChain(client, from.chain);
    const keys = await client.query<{ version: number; facts: Facts }>(
      `SELECT version, to_jsonb(k) AS facts FROM ${from.keys} k`,
    );
    const users = await client.query<{ id: string; facts: Facts }>(
      `SELECT id, jsonb_build_object('roles', roles, 'disabled_at', disabled_at, 'ver', ver, 'reset_at', reset_at) AS facts
       FROM ${from.users}`,
    );
    const checkpoints = await client.query<{ seq: string; hash: string; jws: string }>(
      `SELECT seq, hash, jws FROM ${from.checkpoints} ORDER BY seq`,
    );
    return {
      rows,
      keys: new Map(keys.rows.map(({ version, facts }) => [version, facts])),
      users: new Map(users.rows.map(({ id, facts }) => [id, facts])),
      checkpoints: checkpoints.rows.map(({ seq, hash, jws }) => ({
        seq: Number(seq),
        hash,
        content: readCheckpoint(jws),
      })),
    };
  } finally {
    await client.query('ROLLBACK');
  }
}

/** Through a cursor: paging by seq would jump over a row that is there twice. */
async function readChain(client: ClientBase, from: string): Promise<ChainRow[]> {
  await client.query(
    `DECLARE chain NO SCROLL CURSOR FOR
       SELECT seq, prev_hash, entry, hash, at, event, version, subject, actor FROM ${from} ORDER BY seq`,
  );
  const rows: ChainRow[] = [];
  for (;;) {
    const batch = await client.query<RawRow>(`FETCH ${BATCH} FROM chain`);
    for (const { seq, prev_hash: prevHash, entry, hash, at, event, version, subject, actor } of batch.rows) {
      const columns = { at: at.toISOString(), event, version, subject, actor };
      rows.push({ seq: Number(seq), prevHash, entry, hash, columns });
    }
    if (batch.rows.length < BATCH) return rows;
  }
}
