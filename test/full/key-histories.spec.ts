import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import * as fc from 'fast-check';
import { DatabaseError } from 'pg';
import { KeyturnError } from '../../src/common/errors.js';
import { SYSTEM } from '../../src/database/change.js';
import { generateKey, type KeyMaterial } from '../../src/keys/key-material.js';
import { KeyAdmission } from '../../src/keys/operations/key-admission.js';
import { KeyReplacement } from '../../src/keys/operations/key-replacement.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import type { Algorithm } from '../../src/keys/signing-key.js';
import { KeySealing } from '../../src/keys/vault/key-sealing.js';
import { day, hour, minute, second } from '../support/signing-keys.js';
import { seed } from '../support/seed.js';
import { createTestDatabase } from '../support/test-database.js';
import { say } from './support/load.js';
import {
  brokenAt,
  brokenFacts,
  isSigner,
  isStandby,
  lookAt,
  mintedAmiss,
  undoneAfterTick,
  type RingRow,
  type Snapshot,
} from './support/ring-rules.js';
import { MOST_DRIFT, RingWorld, type RingServer } from './support/ring-world.js';

/** Histories at most; on a machine that is busy the time ends it before. */
const HISTORIES = 120;
const TIME_LIMIT_MS = 10_000;
/** Fewer would prove little: so many are told however busy the machine. */
const LEAST_HISTORIES = 4;

jest.setTimeout(120_000);

/** The longest life of a token comes first: a server does not start over keys that were made for shorter ones. */
const policies = [
  {
    KEY_ROTATION_INTERVAL: '90d',
    KEY_PUBLISH_LEAD: '2d',
    KEY_MAX_TOKEN_TTL: '1d',
    ACCESS_TOKEN_TTL: '12h',
  },
  {},
  { KEY_ROTATION_INTERVAL: '6h', KEY_PUBLISH_LEAD: '20min', KEY_MAX_TOKEN_TTL: '20min', ACCESS_TOKEN_TTL: '10min' },
];

type Whose = 'signer' | 'standby' | 'old';
/** What changes keys. Which key is meant is found when it is done. */
type Change =
  | { readonly do: 'tick'; readonly on: number }
  | { readonly do: 'rotate'; readonly on: number; readonly force: boolean; readonly from: 'now' | 'past' | 'any' }
  | { readonly do: 'revoke'; readonly on: number; readonly whose: Whose }
  | { readonly do: 'renew'; readonly on: number }
  | { readonly do: 'replace'; readonly on: number; readonly algorithm: Algorithm }
  | { readonly do: 'import'; readonly on: number; readonly pair: number; readonly kid: boolean }
  | { readonly do: 'admit'; readonly on: number; readonly pair: number; readonly lives: number };
type Step =
  | Change
  | { readonly do: 'wait'; readonly for: number }
  | { readonly do: 'log in'; readonly on: number }
  | { readonly do: 'drift'; readonly on: number; readonly by: number }
  | { readonly do: 'revoke by hand'; readonly whose: Whose; readonly reason: 'leaked' | 'superseded' }
  | { readonly do: 'move by hand'; readonly whose: Whose; readonly column: string; readonly by: number }
  | { readonly do: 'crash'; readonly change: Change; readonly before: number | 'sealing' }
  | { readonly do: 'race'; readonly changes: readonly Change[] };

const on = fc.nat({ max: policies.length - 1 });
const whose = fc.constantFrom<Whose>('signer', 'standby', 'old');
const action = <T extends string>(name: T) => fc.constant(name);
const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: action('tick'), on }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: action('rotate'),
      on,
      force: fc.boolean(),
      from: fc.constantFrom('now' as const, 'past' as const, 'any' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: action('revoke'), on, whose }) },
  { weight: 1, arbitrary: fc.record({ do: action('renew'), on }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: action('replace'),
      on,
      algorithm: fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom<Algorithm>('ES256', 'ES384', 'HS256') },
        { weight: 1, arbitrary: fc.constant<Algorithm>('RS256') },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: action('import'), on, pair: fc.nat({ max: 3 }), kid: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: action('admit'),
      on,
      pair: fc.nat({ max: 3 }),
      lives: fc.integer({ min: 1, max: 40 * day }),
    }),
  },
);
const wait = fc.record({
  do: action('wait'),
  for: fc.oneof(
    fc.integer({ min: second, max: 2 * minute }),
    fc.integer({ min: 2 * minute, max: 2 * hour }),
    fc.integer({ min: 2 * hour, max: 40 * day }),
    { weight: 1, arbitrary: fc.integer({ min: 40 * day, max: 3 * 365 * day }) },
  ),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: change },
  { weight: 4, arbitrary: wait },
  { weight: 3, arbitrary: fc.record({ do: action('log in'), on }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: action('drift'), on, by: fc.integer({ min: -MOST_DRIFT, max: MOST_DRIFT }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: action('revoke by hand'),
      whose,
      reason: fc.constantFrom('leaked' as const, 'superseded' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: action('move by hand'),
      whose,
      column: fc.constantFrom('activates_at', 'retires_at', 'expires_at'),
      by: fc.integer({ min: -20 * day, max: 20 * day }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: action('crash'),
      change,
      before: fc.oneof(fc.nat({ max: 14 }), fc.constant('sealing' as const)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: action('race'), changes: fc.array(change, { minLength: 2, maxLength: 3 }) }),
  },
);
/** A step, and which servers hear of it at once. The first server often does not: it is the stale one. */
const steps = fc.array(
  fc.record({
    step,
    hear: fc.tuple(
      fc.nat({ max: 9 }).map((roll) => roll < 3),
      fc.nat({ max: 9 }).map((roll) => roll < 8),
      fc.nat({ max: 9 }).map((roll) => roll < 8),
    ),
  }),
  { minLength: 6, maxLength: 24 },
);

let world: RingWorld;
let pairs: readonly KeyMaterial[];
/** The newest state that was seen, after which facts must stay. */
let seen: Snapshot;
let refreshBound: number;
beforeAll(async () => {
  world = await RingWorld.begin(await createTestDatabase(), policies);
  ({ refreshBound } = world.server(0).policy);
  pairs = await Promise.all(
    (['ES256', 'ES256', 'ES384', 'RS256'] as const).map((algorithm) => generateKey(algorithm, 2048)),
  );
});
afterAll(async () => {
  await world?.end();
  await world?.database.drop();
});

const look = (): Promise<Snapshot> => lookAt(world.db);

function meant(who: Whose): RingRow | undefined {
  const { keys, now } = seen;
  if (who === 'signer') return keys.find((key) => isSigner(key, now));
  if (who === 'standby') return keys.find((key) => isStandby(key, now));
  return keys.find((key) => key.revoked_at === null);
}

const versionToRetire = ({ from }: Extract<Change, { do: 'rotate' }>): number | undefined =>
  ({ now: meant('signer')?.version, past: meant('old')?.version, any: undefined })[from];

/** One change on one server, through its use-case. */
async function make(wanted: Change): Promise<void> {
  const { app } = world.server(wanted.on).app;
  const replacement = app.get(KeyReplacement);
  switch (wanted.do) {
    case 'tick':
      return await world.server(wanted.on).app.tick();
    case 'rotate': {
      await app.get(KeyRotation).rotate(SYSTEM, { fromVersion: versionToRetire(wanted), force: wanted.force });
      return;
    }
    case 'revoke':
      // Nobody is waited for: the servers hear when the history says so.
      await world.db.query('DELETE FROM keyturn.replicas');
      await app.get(KeyRotation).revoke(SYSTEM, meant(wanted.whose)?.kid ?? 'none', 'leaked');
      return;
    case 'renew':
      await replacement.replaceStandby(SYSTEM, { is: 'renewed' });
      return;
    case 'replace':
      await replacement.replaceStandby(SYSTEM, { is: 'generated', algorithm: wanted.algorithm });
      return;
    case 'import': {
      const material = pairs[wanted.pair];
      const kid = wanted.kid ? `imported-${wanted.pair}` : undefined;
      if (material) await replacement.replaceStandby(SYSTEM, { is: 'imported', material, kid });
      return;
    }
    case 'admit': {
      const { algorithm, publicJwk, thumbprint } = pairs[wanted.pair] ?? {};
      if (!algorithm || !publicJwk || !thumbprint) return;
      const kid = `partner-${seen.keys.length}`;
      const times = { createdAt: seen.now - hour, expiresAt: seen.now + wanted.lives, maxTokenTtl: hour };
      await app.get(KeyAdmission).admit(SYSTEM, [{ kid, algorithm, publicJwk, thumbprint, ...times }]);
    }
  }
}

/** Did it happen? A refusal with words is fine, and so is a database that could not be had. */
async function happened(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    const byTheDatabase = error instanceof DatabaseError && ['23514', '23P01'].includes(error.code ?? '');
    if (!(error instanceof KeyturnError) && !byTheDatabase) throw error;
    return false;
  }
}

/** Between the row of a new key and that of its private half. */
async function failWhenSealing({ app }: RingServer['app'], wanted: Change): Promise<string[]> {
  const sealing = jest.spyOn(app.get(KeySealing), 'seal').mockImplementation(() => {
    throw new PowerCut();
  });
  try {
    await happened(make(wanted));
    return [];
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    return JSON.stringify((await look()).keys) === JSON.stringify(seen.keys)
      ? []
      : ['a change that failed halfway left something'];
  } finally {
    sealing.mockRestore();
  }
}
class PowerCut extends Error {}

const byHand = (sql: string, values: readonly unknown[]): Promise<boolean> =>
  happened(
    (async () => {
      await world.db.query('SET ROLE keyturn_app');
      try {
        await world.db.query(sql, [...values]);
      } finally {
        await world.db.query('RESET ROLE');
      }
    })(),
  );

/** @returns what went wrong with this step, beyond what the ring shows afterwards */
async function take(given: Step): Promise<string[]> {
  switch (given.do) {
    case 'wait':
      await world.pass(given.for);
      return [];
    case 'log in':
      return await world.logIn(world.server(given.on), look);
    case 'drift':
      world.server(given.on).drift = given.by;
      world.setClock(world.server(given.on));
      return [];
    case 'revoke by hand':
      await byHand('UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = $2 WHERE version = $1', [
        meant(given.whose)?.version,
        given.reason,
      ]);
      return [];
    case 'move by hand':
      await byHand(
        `UPDATE keyturn.signing_keys SET ${given.column} = ${given.column} + $2 * interval '1 millisecond' WHERE version = $1`,
        [meant(given.whose)?.version, given.by],
      );
      return [];
    case 'crash': {
      const server = world.server(given.change.on);
      if (given.before === 'sealing') return await failWhenSealing(server.app, given.change);
      await server.severing.within(given.before, () => happened(make(given.change)));
      return [];
    }
    case 'race':
      await Promise.all(given.changes.map((each) => happened(make(each))));
      return [];
    case 'tick': {
      await make(given);
      const after = await look();
      return [...undoneAfterTick(after, refreshBound), ...mintedAmiss(seen, after, world.server(given.on).policy)];
    }
    case 'rotate':
    case 'revoke': {
      const fromVersion = given.do === 'rotate' ? versionToRetire(given) : undefined;
      const [done, after] = [await happened(make(given)), await look()];
      return [
        ...(after.keys.length === seen.keys.length ? [] : [`a ${given.do} made a key`]),
        ...(done && fromVersion !== undefined && fromVersion !== meant('signer')?.version
          ? [`version ${fromVersion} was rotated away from, and did not sign`]
          : []),
      ];
    }
    default:
      await happened(make(given));
      return [];
  }
}

/** Everything that is wrong after a step, or after somebody heard of it. */
async function judged(found: readonly string[]): Promise<string[]> {
  const before = seen;
  seen = await look();
  return [...found, ...brokenAt(seen, refreshBound), ...brokenFacts(before, seen)];
}

describe('histories of keys over Postgres', () => {
  it('keep every rule after every step, and every token is judged as it should be', async () => {
    const counted = { histories: 0, steps: 0 };
    const kinds = new Map<string, number>();
    const begun = performance.now();
    const tell = async (given: readonly { step: Step; hear: readonly boolean[] }[]): Promise<void> => {
      await world.startAnew();
      seen = await look();
      const first = { step: { do: 'tick', on: 1 }, hear: [true, true, true] } as const;
      for (const [at, { step: next, hear }] of [first, ...given].entries()) {
        const faults = await judged(await take(next));
        for (const [index, server] of world.servers.entries()) {
          if (!hear[index]) continue;
          await world.hear(server);
          faults.push(...(await judged([])), ...world.ignorance(server, seen));
        }
        faults.push(...(await world.misjudged(seen)));
        expect({ at, after: next, faults }).toEqual({ at, after: next, faults: [] });
        counted.steps += 1;
        kinds.set(next.do, (kinds.get(next.do) ?? 0) + 1);
      }
      counted.histories += 1;
    };
    let last: Promise<void> = Promise.resolve();
    const property = fc.asyncProperty(steps, (given) => (last = tell(given)));
    await fc.assert(property, { numRuns: LEAST_HISTORIES, seed });
    await fc.assert(property, { numRuns: HISTORIES, interruptAfterTimeLimit: TIME_LIMIT_MS, seed: seed + 1 });
    // Time ends the run, not the history that is being told: it would go on beneath the next test.
    await last;
    const took = Math.round((performance.now() - begun) / 1_000);
    const inWords = (counts: ReadonlyMap<string, number>): string =>
      [...counts].map(([what, times]) => `${what} ${times}`).join(', ');
    say(`${counted.histories} histories of ${counted.steps} steps in ${took} s: ${inWords(kinds)}`);
    say(`tokens judged: ${inWords(world.verdicts)}`);
    expect(counted.histories).toBeGreaterThanOrEqual(LEAST_HISTORIES);
  });
});

describe('a crash before any statement of a change', () => {
  /** More statements than any change has. */
  const PLENTY = 40;
  const changes: readonly Change[] = [
    { do: 'tick', on: 1 },
    { do: 'rotate', on: 1, force: true, from: 'now' },
    { do: 'revoke', on: 1, whose: 'signer' },
    { do: 'revoke', on: 1, whose: 'standby' },
    { do: 'replace', on: 1, algorithm: 'ES384' },
    { do: 'renew', on: 1 },
    { do: 'import', on: 1, pair: 0, kid: false },
  ];

  it.each(changes)('of $do leaves every rule whole, and the next tick of another server heals', async (wanted) => {
    const outcomes: string[] = [];
    for (let statement = 0; statement < PLENTY; statement += 1) {
      await world.startAnew();
      seen = await look();
      await make({ do: 'tick', on: 2 });
      seen = await look();
      // A tick has the most to do after a revocation.
      if (wanted.do === 'tick') await make({ do: 'revoke', on: 2, whose: 'signer' });
      seen = await look();
      const { severing } = world.server(1);
      const [done, severed] = await severing.within(statement, async () => await happened(make(wanted)));
      expect({ statement, faults: await judged([]) }).toEqual({ statement, faults: [] });
      await world.hear(world.server(2));
      await make({ do: 'tick', on: 2 });
      const after = await look();
      expect({ statement, faults: await judged(undoneAfterTick(after, refreshBound)) }).toEqual({
        statement,
        faults: [],
      });
      outcomes.push(done ? 'done' : 'failed');
      if (!severed) break;
    }
    say(
      `${wanted.do}: ${outcomes.length - 1} crashes, ${outcomes.filter((outcome) => outcome === 'failed').length} of them seen`,
    );
    expect(outcomes.length).toBeGreaterThan(3);
    expect(outcomes.length).toBeLessThan(PLENTY);
    expect(outcomes.at(-1)).toBe('done');
  });
});

describe('what a history of many steps seldom meets', () => {
  const servers = { silent: 0, one: 1, other: 2 } as const;
  beforeEach(async () => {
    await world.startAnew();
    for (const index of [1, 1, 2, 0]) await world.hear(world.server(index));
    seen = await look();
  });

  it('a revoked key stays dead when the clock is set back', async () => {
    await world.pass(hour);
    await world.logIn(world.server(servers.one), look);
    await world.pass(8 * minute);
    await make({ do: 'revoke', on: servers.one, whose: 'signer' });
    await world.pass(-5 * minute);
    for (const server of world.servers) await world.hear(server);
    expect(await world.verdictsNow()).not.toContain('good');
  });

  it('a server that ran while an older database was restored signs with the keys that are there now', async () => {
    // Long enough for both to see, one after the other, that it has become shorter.
    for (const username of ['ben', 'cleo', 'dan', 'eve', 'fay']) await world.server(0).app.createUser({ username });
    for (const server of world.servers) await world.hear(server);
    await world.restoreNothing();
    for (const index of [servers.one, servers.other, servers.silent]) await world.hear(world.server(index));
    await world.logIn(world.server(servers.other), look);
    expect(await world.verdictsNow()).toEqual(['good', 'good', 'good']);
  });

  it('a server that is cut off while a takeover is put off does not call the tokens of the old key bad', async () => {
    const due = meant('standby')?.activates_at.getTime() ?? 0;
    await world.pass(due - seen.now - 10 * second);
    for (const server of world.servers) await world.hear(server);
    await make({ do: 'replace', on: servers.one, algorithm: 'ES256' });
    await world.hear(world.server(servers.one));
    const { refreshBound: bound, clockSkew, offlineLimit } = world.server(servers.silent).policy;
    await world.pass(bound + clockSkew + 15 * second);
    expect(world.server(servers.silent).silence).toBeLessThan(offlineLimit);
    await world.hear(world.server(servers.one));
    await world.logIn(world.server(servers.one), look);
    expect(await world.verdictsNow()).toEqual(['keys_unavailable', 'good', expect.anything()]);
  });
});
