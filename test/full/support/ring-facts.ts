import type { ClientBase } from 'pg';
import { brokenLinks, foldedKeys, history, keysAsTheyAre } from '../../support/history.js';

/** What is wrong with the ring and its history, in sentences; nothing is what we want. Does not ask for a standby. */
export async function ringFaults(db: ClientBase): Promise<string[]> {
  // One snapshot of keys and history: the servers go on, and a private half may end between two statements.
  await db.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    return await faultsInSnapshot(db);
  } finally {
    await db.query('ROLLBACK');
  }
}

async function faultsInSnapshot(db: ClientBase): Promise<string[]> {
  const faults: string[] = [];
  const { rows } = await db.query<{
    versions: number;
    newest: number;
    signers: number;
    torn: string[];
    halves: string[];
  }>(`
    WITH windows AS (
      SELECT version, kid, activates_at, retires_at, lag(retires_at) OVER w AS before, lag(version) OVER w AS previous
      FROM keyturn.signing_keys WHERE signs AND retires_at IS DISTINCT FROM activates_at
      WINDOW w AS (ORDER BY activates_at)
    )
    SELECT
      (SELECT count(*)::integer FROM keyturn.signing_keys) AS versions,
      (SELECT max(version) FROM keyturn.signing_keys) AS newest,
      (SELECT count(*)::integer FROM keyturn.signing_keys
         WHERE signs AND keyturn.key_state(activates_at, retires_at, expires_at, revoked_at, keyturn.clock()) = 'active') AS signers,
      ARRAY(SELECT kid FROM windows WHERE previous IS NOT NULL AND before IS DISTINCT FROM activates_at) AS torn,
      ARRAY(SELECT kid FROM keyturn.signing_keys k FULL JOIN keyturn.signing_key_secrets s USING (version)
            WHERE (s.sealed IS NULL) <> (k.private_key_destroyed_at IS NOT NULL)) AS halves`);
  const [found] = rows;
  if (!found) throw new Error('no answer');
  if (found.newest !== found.versions) faults.push(`${found.versions} rows, but the newest is version ${found.newest}`);
  if (found.signers !== 1) faults.push(`${found.signers} keys sign`);
  faults.push(...found.torn.map((kid) => `the window of ${kid} does not begin where the one before ends`));
  faults.push(...found.halves.map((kid) => `${kid}: the private half and what is said of it disagree`));

  const rowsOfHistory = await history(db);
  faults.push(...brokenLinks(rowsOfHistory).map((seq) => `event ${seq} does not follow from the one before`));
  const folded = foldedKeys(rowsOfHistory);
  for (const [version, facts] of await keysAsTheyAre(db)) {
    if (JSON.stringify(sorted(facts)) !== JSON.stringify(sorted(folded.get(version) ?? {}))) {
      faults.push(`version ${version} is not what its history says`);
    }
  }
  return faults;
}

const sorted = (facts: Readonly<Record<string, unknown>>) =>
  Object.entries(facts).toSorted(([a], [b]) => (a < b ? -1 : 1));

/** Version of the key that signs, and of the one that waits, as the database has it. */
export async function signerAndStandby(db: ClientBase): Promise<{ signer: number | null; standby: number | null }> {
  const { rows } = await db.query<{ signer: number | null; standby: number | null }>(`
    WITH now AS (SELECT keyturn.clock() AS at), states AS (
      SELECT version, keyturn.key_state(activates_at, retires_at, expires_at, revoked_at, now.at) AS state
      FROM keyturn.signing_keys, now WHERE signs
    )
    SELECT (SELECT max(version) FROM states WHERE state = 'active') AS signer,
           (SELECT min(version) FROM states WHERE state = 'pending') AS standby`);
  return rows[0] ?? { signer: null, standby: null };
}
