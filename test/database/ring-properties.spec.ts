import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { DatabaseError, type Client } from 'pg';
import { brokenLinks, foldedKeys, history, keysAsTheyAre } from '../support/history.js';
import { allKeys, day, hour, lead, minute, only, publishKey, type KeyRow } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let app: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
});
afterAll(async () => await database.drop());

/** What hands may do to the ring. Which key is meant is found when it is done. */
type Step =
  | { readonly do: 'publish'; readonly dueIn: number }
  | { readonly do: 'renew' }
  | { readonly do: 'rotate' }
  | { readonly do: 'revoke'; readonly whom: 'signer' | 'standby' | 'oldest'; readonly reason: 'leaked' | 'superseded' }
  | { readonly do: 'end signer' }
  | {
      readonly do: 'move';
      readonly column: string;
      readonly whom: 'signer' | 'standby' | 'oldest';
      readonly by: number;
    }
  | { readonly do: 'destroy'; readonly whom: 'signer' | 'standby' | 'oldest' }
  | { readonly do: 'servers'; readonly open: boolean }
  | { readonly do: 'wait'; readonly for: number };

const whom = fc.constantFrom('signer' as const, 'standby' as const, 'oldest' as const);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ do: fc.constant('publish' as const), dueIn: fc.integer({ min: lead, max: 60 * day }) }),
    fc.record({ do: fc.constant('renew' as const) }),
    fc.record({ do: fc.constant('rotate' as const) }),
    fc.record({
      do: fc.constant('revoke' as const),
      whom,
      reason: fc.constantFrom('leaked' as const, 'superseded' as const),
    }),
    fc.record({ do: fc.constant('end signer' as const) }),
    fc.record({
      do: fc.constant('move' as const),
      column: fc.constantFrom('activates_at', 'retires_at', 'expires_at'),
      whom,
      by: fc.integer({ min: -20 * day, max: 20 * day }),
    }),
    fc.record({ do: fc.constant('destroy' as const), whom }),
    fc.record({ do: fc.constant('servers' as const), open: fc.boolean() }),
    fc.record({ do: fc.constant('wait' as const), for: fc.integer({ min: minute, max: 20 * day }) }),
  ),
  { minLength: 4, maxLength: 14 },
);

interface Ring {
  readonly keys: readonly KeyRow[];
  readonly now: number;
}

async function ring(): Promise<Ring> {
  const { now } = only(await app.query<{ now: Date }>('SELECT keyturn.clock() AS now'));
  return { keys: await allKeys(app), now: now.getTime() };
}

const isSigner = (key: KeyRow, now: number): boolean =>
  key.signs && key.activates_at.getTime() <= now && (key.retires_at?.getTime() ?? Infinity) > now;

const isStandby = (key: KeyRow, now: number): boolean =>
  key.signs && key.revoked_at === null && key.activates_at.getTime() > now;

function meant({ keys, now }: Ring, who: 'signer' | 'standby' | 'oldest'): KeyRow | undefined {
  if (who === 'signer') return keys.find((key) => isSigner(key, now));
  if (who === 'standby') return keys.find((key) => isStandby(key, now));
  return keys.find((key) => key.revoked_at === null);
}

/** The one server says that it lives, and that it opens every private half there is, or none. */
const report = (): Promise<unknown> =>
  app.query(
    `INSERT INTO keyturn.replicas AS r (id, code_version, generation, kek_ids, opens, shut, last_seen_at)
     SELECT '00000000-0000-4000-8000-000000000000', 'test', 0, '{}', CASE WHEN $1 THEN versions ELSE '{}' END,
       CASE WHEN $1 THEN '{}' ELSE versions END, keyturn.clock()
     FROM (SELECT coalesce(array_agg(version), '{}') AS versions FROM keyturn.signing_keys) known
     ON CONFLICT ON CONSTRAINT pk_replicas
     DO UPDATE SET opens = excluded.opens, shut = excluded.shut, last_seen_at = excluded.last_seen_at`,
    [serverOpens],
  );
let serverOpens = true;

async function take(step: Step): Promise<void> {
  if (step.do === 'wait') return await database.moveClock(step.for);
  const before = await ring();
  const signer = meant(before, 'signer');
  switch (step.do) {
    case 'publish':
      await (signer === undefined && meant(before, 'standby') === undefined
        ? publishKey(app, { activatesIn: 0, activation: before.keys.length === 0 ? 'bootstrap' : 'emergency' })
        : publishKey(app, { activatesIn: step.dueIn }));
      break;
    case 'renew':
      if (signer === undefined) break;
      await publishKey(app, {
        activatesIn: 30 * day,
        renewedFrom: signer.version,
        pair: { algorithm: signer.algorithm, publicJwk: signer.public_jwk, thumbprint: signer.thumbprint },
      });
      break;
    case 'rotate':
      await rotate(meant(before, 'standby'), before.now);
      break;
    case 'revoke':
      await app.query('UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = $2 WHERE version = $1', [
        meant(before, step.whom)?.version,
        step.reason,
      ]);
      break;
    case 'end signer':
      await app.query(
        `UPDATE keyturn.signing_keys SET retires_at = keyturn.begin_change(), expires_at = keyturn.begin_change() + verify_tail
         WHERE version = $1`,
        [signer?.version],
      );
      break;
    case 'move':
      await app.query(
        `UPDATE keyturn.signing_keys SET ${step.column} = ${step.column} + $2 * interval '1 millisecond' WHERE version = $1`,
        [meant(before, step.whom)?.version, step.by],
      );
      break;
    case 'servers':
      serverOpens = step.open;
      // As a tick does.
      if (serverOpens && signer === undefined)
        await app.query(
          `UPDATE keyturn.signing_keys SET activation = 'emergency', activates_at = keyturn.begin_change() WHERE version = $1`,
          [meant(before, 'standby')?.version],
        );
      break;
    case 'destroy':
      await app.query('UPDATE keyturn.signing_keys SET private_key_destroyed_at = now() WHERE version = $1', [
        meant(before, step.whom)?.version,
      ]);
      break;
  }
}

async function rotate(standby: KeyRow | undefined, now: number): Promise<void> {
  if (standby === undefined) return;
  await app.query(
    `UPDATE keyturn.signing_keys k SET
       activation = CASE WHEN k.version = $1 THEN $2 ELSE k.activation END,
       activates_at = CASE WHEN k.version = $1 THEN keyturn.begin_change() ELSE k.activates_at END,
       retires_at = CASE WHEN k.version = $1 THEN k.retires_at ELSE keyturn.begin_change() END,
       expires_at = CASE WHEN k.version = $1 THEN k.expires_at ELSE keyturn.begin_change() + k.verify_tail END
     FROM keyturn.signing_keys standby
     WHERE standby.version = $1 AND (k.version = $1 OR (k.signs AND k.revoked_at IS NULL AND k.retires_at = standby.activates_at))`,
    [standby.version, now >= standby.published_at.getTime() + lead ? 'early' : 'forced'],
  );
}

/** What must always hold and does not, in words. */
function broken({ keys, now }: Ring): string[] {
  const found: string[] = [];
  keys.forEach((key, index) => {
    if (key.version !== index + 1) found.push(`version ${key.version} where ${index + 1} was due`);
  });

  const windows = keys
    .filter((key) => key.signs && key.retires_at?.getTime() !== key.activates_at.getTime())
    .sort((one, other) => one.activates_at.getTime() - other.activates_at.getTime());
  windows.forEach((key, index) => {
    const end = key.retires_at?.getTime();
    const next = windows[index + 1];
    const endedByRevocation = end !== undefined && keys.some((other) => other.revoked_at?.getTime() === end);
    if (next === undefined) {
      if (end !== undefined && !endedByRevocation) found.push(`version ${key.version} ends and nobody follows`);
    } else if (end === undefined || end > next.activates_at.getTime()) {
      found.push(`versions ${key.version} and ${next.version} sign at once`);
    } else if (end < next.activates_at.getTime() && !endedByRevocation) {
      found.push(`nobody signs between versions ${key.version} and ${next.version}`);
    }
  });

  const signers = keys.filter((key) => isSigner(key, now));
  if (signers.length > 1) found.push(`${signers.length} keys sign`);
  if (serverOpens && signers.length === 0 && keys.some((key) => isStandby(key, now)))
    found.push('a standby waits while nobody signs');
  for (const key of keys) {
    if (key.revoked_at === null || key.revocation_reason === 'superseded') continue;
    const spared = keys.filter((other) => other.thumbprint === key.thumbprint && other.revoked_at === null);
    if (spared.length > 0) found.push(`the pair of version ${key.version} was revoked and lives on`);
  }
  return found;
}

/** Refused is fine, and changes nothing; any other error is not. */
async function attempt(step: Step): Promise<void> {
  try {
    await take(step);
  } catch (error) {
    const expected = error instanceof DatabaseError && (error.code === '23514' || error.code === '23P01');
    if (!expected) throw error;
  }
}

describe('the ring of keys', () => {
  it('keeps its rules, and its history tells the truth, whatever hands do to it', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (given) => {
        await database.reset();
        serverOpens = true;
        for (const step of [{ do: 'publish', dueIn: hour } as const, ...given]) {
          await report();
          const [{ keys: before }, shut] = [await ring(), !serverOpens];
          await attempt(step);
          const tookOver = (await allKeys(app)).filter(
            ({ activation }, index) =>
              before[index] && activation === 'emergency' && before[index].activation !== activation,
          );
          if (shut && step.do !== 'servers') expect(tookOver).toEqual([]);
          const rows = await history(app);
          expect({ broken: broken(await ring()), links: brokenLinks(rows), folded: foldedKeys(rows) }).toEqual({
            broken: [],
            links: [],
            folded: await keysAsTheyAre(app),
          });
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});
