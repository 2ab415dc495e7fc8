import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, CompactSign } from 'jose';
import type { ClientBase } from 'pg';
import { readKeptCheckpoints, type Checkpoint } from '../../src/audit/checkpoint.js';
import { readHistory } from '../../src/audit/read-history.js';
import { verifyHistory } from '../../src/audit/verify-history.js';
import { bootstrapKey, only, publishKey } from '../support/signing-keys.js';
import { addUser } from '../support/users.js';

/** A history with a ring of two keys, and the key that signs. */
export interface Story {
  readonly anna: string;
  readonly bob: string;
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/** What the rows are: tests name them by number. */
export const STORY = [
  'bootstrapped', // 1
  'published', // 2
  'scheduled', // 3
  'user_created', // 4, Anna
  'user_created', // 5, Bob
  'user_roles_changed', // 6, Anna made Bob an administrator
  'user_roles_changed', // 7, and took it back
  'user_disabled', // 8, Bob
];

export async function tellStory(app: ClientBase): Promise<Story> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicJwk = publicKey.export({ format: 'jwk' });
  const thumbprint = await calculateJwkThumbprint(publicJwk);
  const { kid } = await bootstrapKey(app, { pair: { algorithm: 'ES256', publicJwk, thumbprint } });
  await publishKey(app);
  const { id: anna } = await addUser(app, { username: 'anna@example.com', roles: ['admin'] });
  const { id: bob } = await addUser(app, { username: 'Bob' });
  await app.query('BEGIN');
  await app.query(
    `SELECT set_config('keyturn.actor', $1, true), set_config('keyturn.reason', 'stands in for Anna', true)`,
    [anna],
  );
  await app.query(`UPDATE keyturn.users SET roles = '{admin}' WHERE id = $1`, [bob]);
  await app.query(`UPDATE keyturn.users SET roles = '{}' WHERE id = $1`, [bob]);
  await app.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE id = $1`, [bob]);
  await app.query('COMMIT');
  return { anna, bob, kid, privateKey };
}

/** Signs the newest row as a server does. */
export async function signHead(db: ClientBase, { kid, privateKey }: Story): Promise<string> {
  const head = only(
    await db.query<{ seq: string; hash: string; iat: number }>(
      `SELECT seq, hash, floor(extract(epoch FROM keyturn.clock()))::integer AS iat FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1`,
    ),
  );
  return new CompactSign(Buffer.from(JSON.stringify({ ...head, seq: Number(head.seq) })))
    .setProtectedHeader({ alg: 'ES256', kid, typ: 'keyturn-checkpoint+jwt' })
    .sign(privateKey);
}

/** Signs the newest row, and stores that as a server does. */
export async function storeCheckpoint(app: ClientBase, story: Story): Promise<Checkpoint> {
  const jws = await signHead(app, story);
  await app.query('INSERT INTO keyturn.audit_checkpoints (jws) VALUES ($1)', [jws]);
  const [checkpoint] = readKeptCheckpoints(jws) ?? [];
  if (!checkpoint) throw new Error('not a checkpoint');
  return checkpoint;
}

/** Runs as somebody who can switch every trigger off. */
export async function behindTheTriggers(superuser: ClientBase, sql: string): Promise<void> {
  await superuser.query('SET session_replication_role = replica');
  try {
    await superuser.query(sql);
  } finally {
    await superuser.query('RESET session_replication_role');
  }
}

/** Links every row anew, so that the chain fits again: what a careful forger does. */
export const RELINK = `
  DO $$
  DECLARE
    link record;
    head text := repeat('0', 64);
  BEGIN
    -- Out of the way of each other first.
    UPDATE keyturn.audit_log SET prev_hash = encode(sha256(convert_to('x' || seq, 'UTF8')), 'hex'),
      hash = encode(sha256(convert_to(encode(sha256(convert_to('x' || seq, 'UTF8')), 'hex') || entry, 'UTF8')), 'hex');
    FOR link IN SELECT seq, row_number() OVER (ORDER BY seq) AS place, entry FROM keyturn.audit_log ORDER BY seq LOOP
      UPDATE keyturn.audit_log SET seq = link.place, prev_hash = head, hash = encode(sha256(convert_to(head || entry, 'UTF8')), 'hex')
        WHERE seq = link.seq RETURNING hash INTO head;
    END LOOP;
  END $$;
`;

/** Where a verification says that something does not fit. */
export interface Finding {
  readonly problem: string;
  readonly seq?: number;
  readonly version?: number;
  readonly userId?: string;
}

/** What `audit.verify_history()` finds; undefined: all is well. */
export async function sqlFinding(client: ClientBase): Promise<Finding | undefined> {
  const row = only(
    await client.query<{
      ok: boolean;
      problem: string | null;
      seq: string | null;
      version: number | null;
      user_id: string | null;
    }>('SELECT ok, problem, seq, version, user_id FROM audit.verify_history()'),
  );
  if (row.ok !== (row.problem === null)) throw new Error('neither well nor a problem');
  if (row.problem === null) return undefined;
  return {
    problem: row.problem,
    ...(row.seq !== null && { seq: Number(row.seq) }),
    ...(row.version !== null && { version: row.version }),
    ...(row.user_id !== null && { userId: row.user_id }),
  };
}

/** What `keyturn audit verify` finds, reading as the auditor; undefined: all is well. */
export const ownFinding = async (auditor: ClientBase, kept: readonly Checkpoint[] = []): Promise<Finding | undefined> =>
  (await readHistory(auditor, 'views', (stored) => verifyHistory(stored, kept))).misfit;
