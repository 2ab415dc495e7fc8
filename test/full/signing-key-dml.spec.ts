import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { DatabaseError, type Client } from 'pg';
import { seed } from '../support/seed.js';
import { day, hour, publishKey } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let superuser: Client;
let hands: Readonly<Record<'app' | 'owner', Client>>;
let columns: readonly string[];
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  const owner = await database.connect('migrator');
  await owner.query('SET ROLE keyturn_owner');
  hands = { app: await database.connect('app'), owner };
  const { rows } = await superuser.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'keyturn.signing_keys'::regclass AND attnum > 0 AND NOT attisdropped`,
  );
  columns = rows.map(({ name }) => name);
});
afterAll(async () => await database.drop());

/** Postgres takes them for a timestamptz; no server can hold them. */
const NO_INSTANTS = [`'infinity'`, `'-infinity'`, `'280000-01-01Z'`, `'0001-01-01Z BC'`];
/** Values of every kind, some of which fit: what does not is refused by its type. */
const value = fc.oneof(
  fc.constantFrom('NULL', 'DEFAULT', '1', '2', '99', 'true', 'false', `'7-AAAAAAAA'`, `'ES256'`, `'RS256'`, `'HS256'`),
  fc.constantFrom(`'scheduled'`, `'emergency'`, `'forced'`, `'renewed'`, `'leaked'`, `'superseded'`, `'{}'`),
  fc.constantFrom(...NO_INSTANTS),
  fc.integer({ min: -90 * day, max: 90 * day }).map((by) => `keyturn.clock() + ${by} * interval '1 millisecond'`),
  fc.integer({ min: 0, max: 9 * day }).map((length) => `${length} * interval '1 millisecond'`),
  fc.nat({ max: 30 }).map((index) => `#${index}`),
);
const which = fc.constantFrom('true', 'version = 1', 'version = 2', 'version = 3', 'retires_at IS NULL', 'signs');
const moved = fc.integer({ min: -20 * day, max: 20 * day }).map((by) => `+ ${by} * interval '1 millisecond'`);
const assigned: fc.Arbitrary<[column: number | string, value: string][]> = fc.oneof(
  fc.array(fc.tuple(fc.nat(), value), { minLength: 1, maxLength: 3 }),
  fc
    .tuple(fc.constantFrom('activates_at', 'retires_at', 'expires_at'), fc.constantFrom(...NO_INSTANTS))
    .map(([name, never]): [string, string][] => [[name, never]]),
  // What a hand would try that knows the table.
  fc.constant<[string, string][]>([
    ['revoked_at', 'keyturn.clock()'],
    ['revocation_reason', `'leaked'`],
  ]),
  fc
    .tuple(fc.constantFrom('activates_at', 'retires_at', 'expires_at'), moved)
    .map(([name, by]): [string, string][] => [[name, `${name} ${by}`]]),
  moved.map((by): [string, string][] => [
    ['activates_at', `activates_at ${by}`],
    ['retires_at', `retires_at ${by}`],
    ['expires_at', `expires_at ${by}`],
  ]),
);
const dml = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('update' as const), assigned, which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('insert' as const), assigned, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), assigned, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('truncate' as const), assigned, which }) },
);
type Dml = typeof dml extends fc.Arbitrary<infer T> ? T : never;

/** `#n` stands for another column. */
const written = (text: string): string => text.replace(/^#(\d+)$/, (_, n: string) => column(Number(n)));
const column = (index: number | string): string =>
  typeof index === 'string' ? index : (columns[index % columns.length] ?? '');

function sqlOf({ do: what, assigned: pairs, which: where }: Dml): string {
  const changes = new Map(pairs.map(([index, text]) => [column(index), written(text)]));
  if (what === 'delete') return `DELETE FROM keyturn.signing_keys WHERE ${where}`;
  if (what === 'truncate') return 'TRUNCATE keyturn.signing_keys CASCADE';
  if (what === 'update')
    return `UPDATE keyturn.signing_keys SET ${[...changes].map(([name, text]) => `${name} = ${text}`).join(', ')} WHERE ${where}`;
  const from = columns.map((name) => (changes.get(name) ?? name).replace('DEFAULT', 'NULL'));
  return `INSERT INTO keyturn.signing_keys (${columns.join(', ')}) SELECT ${from.join(', ')} FROM keyturn.signing_keys WHERE ${where}`;
}

type Row = Readonly<Record<string, unknown>>;
const INSTANTS = ['published_at', 'activates_at', 'retires_at', 'expires_at', 'revoked_at', 'private_key_destroyed_at'];
const FACTS = [
  'kid',
  'algorithm',
  'signs',
  'origin',
  'renewed_from',
  'public_jwk',
  'thumbprint',
  'lead',
  'max_token_ttl',
  'verify_tail',
];

async function look(): Promise<{ rows: readonly Row[]; now: number; signers: number }> {
  const { rows } = await superuser.query<Row>('SELECT * FROM keyturn.signing_keys ORDER BY version');
  const { rows: said } = await superuser.query<{ now: Date; signers: number }>(`
    SELECT at AS now, (SELECT count(*)::integer FROM keyturn.signing_keys
      WHERE signs AND revoked_at IS NULL AND activates_at <= at AND coalesce(retires_at > at, true)) AS signers
    FROM keyturn.clock() AS at`);
  return { rows, now: said[0]?.now.getTime() ?? 0, signers: said[0]?.signers ?? -1 };
}

const instant = (value_: unknown): number => (value_ instanceof Date ? value_.getTime() : Infinity);

const isInstant = (value_: unknown): boolean => value_ instanceof Date && value_.getTime() >= 0;

/** What a hand has managed that nobody may. */
function managed(before: Awaited<ReturnType<typeof look>>, after: Awaited<ReturnType<typeof look>>): string[] {
  const changed = before.rows.flatMap((old) => {
    const row = after.rows.find(({ version }) => version === old['version']);
    if (!row) return [`version ${String(old['version'])} is gone`];
    const differs = (name: string): boolean => JSON.stringify(old[name]) !== JSON.stringify(row[name]);
    return [...FACTS, ...INSTANTS.filter((name) => instant(old[name]) <= before.now)].filter(differs);
  });
  changed.push(...after.rows.flatMap((row) => INSTANTS.filter((name) => row[name] !== null && !isInstant(row[name]))));
  return after.signers > 1 ? [...changed, `${after.signers} sign`] : changed;
}

describe.each(['app', 'owner'] as const)('with the rights of keyturn_%s', (role) => {
  it('no DML makes two signers, loses a key, or changes a kid, an algorithm, a public key, a policy or a past instant', async () => {
    const counted = { done: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(dml, { minLength: 8, maxLength: 16 }), async (statements) => {
        await database.reset();
        await publishKey(hands.app, { activatesIn: 0, activation: 'bootstrap' });
        await publishKey(hands.app, { activatesIn: 30 * day });
        await database.moveClock(31 * day);
        await publishKey(hands.app, { activatesIn: 30 * day });
        await database.moveClock(hour);
        for (const statement of statements) {
          const before = await look();
          const sql = sqlOf(statement);
          try {
            await hands[role].query(sql);
            counted.done += 1;
          } catch (error) {
            // Refused, whatever the reason: a type, a grant, a constraint, a trigger.
            if (!(error instanceof DatabaseError)) throw error;
            counted.refused += 1;
          }
          expect({ sql, managed: managed(before, await look()) }).toEqual({ sql, managed: [] });
        }
      }),
      { numRuns: 40, seed },
    );
    process.stderr.write(`  ${role}: ${counted.done} statements done, ${counted.refused} refused\n`);
    expect(counted.done).toBeGreaterThan(0);
    expect(counted.refused).toBeGreaterThan(counted.done);
  }, 120_000);
});
