import type { ClientBase } from 'pg';
import { readCheckpoint } from './checkpoint.js';
import type { ChainRow, Facts } from './history-entry.js';
import type { StoredCheckpoint } from './signed-rows.js';
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

/**
 * Gives `work` history, checkpoints, keys and users, of one snapshot and a batch at a time.
 * @param client in no transaction; `work` must not ask it for more
 */
export async function readHistory<T>(
  client: ClientBase,
  place: keyof typeof PLACES,
  work: (stored: StoredHistory) => Promise<T>,
): Promise<T> {
  const from = PLACES[place];
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    // As the triggers write history: the same instant is the same text.
    await client.query(`SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'postgres'`);
    const keys = await client.query<{ version: number; facts: Facts }>(
      `SELECT version, to_jsonb(k) AS facts FROM ${from.keys} k`,
    );
    return await work({
      keys: new Map(keys.rows.map(({ version, facts }) => [version, facts])),
      rows: readChain(client, from.chain),
      checkpoints: readCheckpoints(client, from.checkpoints),
      users: readUsers(client, from.users),
    });
  } finally {
    await client.query('ROLLBACK');
  }
}

async function* readChain(client: ClientBase, from: string): AsyncGenerator<ChainRow> {
  const batches = readThrough<RawRow>(
    client,
    'chain',
    `SELECT seq, prev_hash, entry, hash, at, event, version, subject, actor FROM ${from} ORDER BY seq`,
  );
  for await (const batch of batches) {
    for (const { seq, prev_hash: prevHash, entry, hash, at, event, version, subject, actor } of batch) {
      const columns = { at: at.toISOString(), event, version, subject, actor };
      yield { seq: Number(seq), prevHash, entry, hash, columns };
    }
  }
}

async function* readCheckpoints(client: ClientBase, from: string): AsyncGenerator<StoredCheckpoint[]> {
  const batches = readThrough<{ seq: string; hash: string; jws: string }>(
    client,
    'checkpoints',
    `SELECT seq, hash, jws FROM ${from} ORDER BY seq`,
  );
  for await (const batch of batches)
    yield batch.map(({ seq, hash, jws }) => ({ seq: Number(seq), hash, content: readCheckpoint(jws) }));
}

async function* readUsers(client: ClientBase, from: string): AsyncGenerator<[string, Facts]> {
  const batches = readThrough<{ id: string; facts: Facts }>(
    client,
    'users',
    `SELECT id, jsonb_build_object('roles', roles, 'disabled_at', disabled_at, 'ver', ver, 'reset_at', reset_at) AS facts
     FROM ${from}`,
  );
  for await (const batch of batches) for (const { id, facts } of batch) yield [id, facts];
}

/** Through a cursor: paging by seq would jump over a row that is there twice. */
async function* readThrough<Row extends object>(
  client: ClientBase,
  cursor: string,
  sql: string,
): AsyncGenerator<Row[]> {
  await client.query(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${sql}`);
  for (;;) {
    const { rows } = await client.query<Row>(`FETCH ${BATCH} FROM ${cursor}`);
    yield rows;
    if (rows.length < BATCH) return;
  }
}
