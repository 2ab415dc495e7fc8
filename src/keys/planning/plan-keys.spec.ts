import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { seed } from '../../../test/support/seed.js';
import { KeyturnError } from '../../common/errors.js';
import type { KeyPolicy } from '../../config/config.js';
import { afterPlan, afterTakeover } from './forecast.js';
import {
  isSettled,
  planKeys,
  planReplacement,
  planRotation,
  samePair,
  type KeyPlan,
  type Readability,
  type Takeover,
} from './plan-keys.js';
import { isHmac, signerAmong, standbyAmong, stateOf, verifies, type SigningKey } from '../signing-key.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const policy: KeyPolicy = {
  algorithm: 'RS256',
  modulusLength: 2048,
  rotationInterval: 30 * DAY,
  publishLead: HOUR,
  jwksMaxAge: 600_000,
  maxTokenTtl: HOUR,
  clockSkew: 30_000,
  refreshBound: 30_000,
};
const everything: Readability = { opensHere: () => true, opensAnywhere: () => true };
const nothing: Readability = { opensHere: () => false, opensAnywhere: () => false };

type Algorithm = SigningKey['algorithm'];
/** What a key is made of: its pair, named by a thumbprint, or for HMAC by what it was renewed from. */
type Pair = Pick<SigningKey, 'algorithm' | 'thumbprint' | 'origin' | 'renewedFrom'>;

/** What the database does with a plan, and by itself after a revocation: the model that the SQL specs hold the real one to. */
class World {
  keys: readonly SigningKey[] = [];
  policy = policy;
  /** Instants at which a revocation left nobody to sign. */
  readonly gaps: number[] = [];
  /** Versions that nobody can open. */
  readonly shut = new Set<number>();

  constructor(public now: number) {}

  tick(readable: Readability = this.readable): KeyPlan {
    return this.carryOut(planKeys(this.keys, this.policy, this.now, readable));
  }

  private get readable(): Readability {
    const opens = (version: number): boolean => !this.shut.has(version);
    return { opensHere: opens, opensAnywhere: opens };
  }

  /** A server that made its pairs over keys as they were then, and finds others when it has the lock. */
  staleTick(then: readonly SigningKey[]): void {
    const made = planKeys(then, this.policy, this.now, this.readable).mints.length;
    const plan = planKeys(this.keys, this.policy, this.now, this.readable);
    this.carryOut({ ...plan, mints: plan.mints.slice(0, made) });
  }

  takeOver(takeover: Takeover): void {
    this.keys = afterTakeover(this.keys, takeover);
  }

  replaceStandby(pair: Partial<Pair>): void {
    if (this.isBanned(pair)) return;
    const { mint, displaced } = planReplacement(this.keys, this.policy, this.now);
    if (displaced) this.end(displaced.version, 'superseded');
    this.reopen();
    this.carryOut({ mints: [mint], destroy: [] }, pair);
  }

  admit(thumbprint: string, lives: number): void {
    if (this.isBanned({ thumbprint })) return;
    const [first] = this.keys;
    if (!first) return;
    const version = this.keys.length + 1;
    const times = { publishedAt: this.now, activatesAt: this.now, retiresAt: this.now, expiresAt: this.now + lives };
    const pair = { thumbprint, origin: 'imported' as const, renewedFrom: null, algorithm: 'RS256' as const };
    const unborn = { revokedAt: null, revocationReason: null, privateKeyDestroyedAt: null, activation: null };
    const policyOfRow = { lead: 0, maxTokenTtl: HOUR, verifyTail: HOUR };
    const row = {
      ...first,
      ...times,
      ...pair,
      ...unborn,
      ...policyOfRow,
      version,
      kid: `partner-${version}`,
      signs: false,
    };
    this.keys = [...this.keys, row];
  }

  revoke(version: number): void {
    const leaked = this.keys.find((key) => key.version === version);
    if (!leaked || leaked.revokedAt !== null) return;
    for (const key of samePair(this.keys, leaked)) this.end(key.version, 'leaked');
    const standby = standbyAmong(this.keys, this.now);
    if (!signerAmong(this.keys, this.now)) {
      if (standby && !this.shut.has(standby.version))
        this.keys = this.keys.map((key) =>
          key === standby ? { ...key, activation: 'emergency', activatesAt: this.now } : key,
        );
      else this.gaps.push(this.now);
    } else if (!standby) this.reopen();
  }

  private carryOut(plan: KeyPlan, pair: Partial<Pair> = { algorithm: this.policy.algorithm }): KeyPlan {
    const before = this.keys.length;
    this.keys = afterPlan(this.keys, plan, this.now).map((key) => {
      if (key.version <= before) return key;
      const own = { ...key, ...pair };
      const thumbprint = pair.thumbprint === undefined && !isHmac(own.algorithm) ? `${key.version}` : own.thumbprint;
      return { ...own, kid: `${key.version}-kid`, thumbprint };
    });
    return plan;
  }

  private end(version: number, revocationReason: string): void {
    this.keys = this.keys.map((key) => {
      if (key.version !== version || key.revokedAt !== null) return key;
      const retiresAt = Math.max(key.activatesAt, Math.min(key.retiresAt ?? Infinity, this.now));
      const expiresAt = key.expiresAt ?? retiresAt + key.verifyTail;
      return { ...key, revokedAt: this.now, revocationReason, retiresAt, expiresAt };
    });
  }

  /** The window of the key that signs has no end until a successor waits. */
  private reopen(): void {
    this.keys = this.keys.map((key) =>
      key.signs && key.revokedAt === null && (key.retiresAt ?? 0) > this.now
        ? { ...key, retiresAt: null, expiresAt: null }
        : key,
    );
  }

  private isBanned({ thumbprint }: Partial<Pair>): boolean {
    return this.keys.some(
      (key) =>
        thumbprint && key.thumbprint === thumbprint && key.revokedAt !== null && key.revocationReason !== 'superseded',
    );
  }
}

type Plain = 'tick' | 'rotate' | 'force' | 'revokeSigner' | 'revokeStandby' | 'revokeOldest' | 'renew';
type Step =
  | { readonly do: 'pass'; readonly time: number }
  | { readonly do: Plain | 'tick that opens nothing' | 'stale tick' | 'crash' | 'shut standby' | 'open all' }
  | { readonly do: 'replace'; readonly algorithm: Algorithm }
  | { readonly do: 'import'; readonly pair: string }
  | { readonly do: 'admit'; readonly pair: string; readonly lives: number }
  | { readonly do: 'settings'; readonly policy: Partial<KeyPolicy> };

const pair = fc.constantFrom('pair one', 'pair two', 'pair three');
const algorithm = fc.constantFrom<Algorithm>('RS256', 'PS384', 'ES256', 'HS256');
const named = <T extends string>(...names: T[]) => fc.record({ do: fc.constantFrom(...names) });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      time: fc.oneof(fc.integer({ min: 1, max: 2 * HOUR }), fc.integer({ min: 1, max: 100 * DAY }), {
        weight: 1,
        arbitrary: fc.integer({ min: 100 * DAY, max: 3 * 365 * DAY }),
      }),
    }),
  },
  {
    weight: 7,
    arbitrary: named('tick', 'rotate', 'force', 'revokeSigner', 'revokeStandby', 'revokeOldest', 'renew'),
  },
  { weight: 2, arbitrary: named('tick that opens nothing', 'stale tick', 'crash', 'shut standby', 'open all') },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), algorithm }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('import' as const), pair }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('admit' as const),
      pair,
      lives: fc.integer({ min: HOUR, max: 400 * DAY }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('settings' as const),
      policy: fc.record({
        algorithm,
        rotationInterval: fc.constantFrom(6 * HOUR, 30 * DAY, 365 * DAY),
        publishLead: fc.constantFrom(20 * 60_000, HOUR, 2 * DAY),
        maxTokenTtl: fc.constantFrom(15 * 60_000, HOUR, DAY),
      }),
    }),
  },
);

/** What a server refuses in words changes nothing. */
function attempt(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
  }
}

/** @param then the keys that a stale server knows */
function act(world: World, next: Step, then: readonly SigningKey[] = world.keys): void {
  const { now, keys } = world;
  const signer = signerAmong(keys, now);
  const revoke = (key: SigningKey | undefined): void => key && world.revoke(key.version);
  switch (next.do) {
    case 'pass':
      world.now += next.time;
      break;
    case 'tick':
      world.tick();
      break;
    case 'tick that opens nothing':
      attempt(() => world.tick(nothing));
      break;
    case 'stale tick':
      world.staleTick(then);
      break;
    case 'shut standby':
      world.shut.add(standbyAmong(keys, now)?.version ?? 0);
      break;
    case 'open all':
      world.shut.clear();
      break;
    case 'crash':
      planKeys(keys, world.policy, now, everything);
      break;
    case 'rotate':
    case 'force':
      attempt(() => world.takeOver(planRotation(keys, now, { force: next.do === 'force' })));
      break;
    case 'revokeSigner':
      revoke(signer);
      break;
    case 'revokeStandby':
      revoke(standbyAmong(keys, now));
      break;
    case 'revokeOldest':
      revoke(keys.find((key) => key.revokedAt === null));
      break;
    case 'renew':
      if (signer)
        world.replaceStandby({
          algorithm: signer.algorithm,
          thumbprint: signer.thumbprint,
          origin: 'renewed',
          renewedFrom: signer.version,
        });
      break;
    case 'replace':
      world.replaceStandby({ algorithm: next.algorithm });
      break;
    case 'import':
      world.replaceStandby({ algorithm: 'RS256', thumbprint: next.pair, origin: 'imported' });
      break;
    case 'admit':
      world.admit(next.pair, next.lives);
      break;
    case 'settings':
      world.policy = { ...world.policy, ...next.policy };
      break;
  }
}

/** How far the clocks of two servers may be from the database's. */
const DRIFTS = [-14_000, 0, 14_000];

/** What does not hold, by the numbers of the rules in keys.md. Sentences: comparing them one by one would take minutes. */
function broken({ keys, now, gaps }: World): string[] {
  const found: string[] = [];
  const hold = (holds: boolean, rule: string): unknown => holds || found.push(rule);
  const windows = keys
    .filter((key) => key.signs && key.retiresAt !== key.activatesAt)
    .toSorted((a, b) => a.activatesAt - b.activatesAt);
  for (const [index, key] of windows.entries()) {
    const end = key.retiresAt ?? Infinity;
    const next = windows[index + 1];
    hold(end > key.activatesAt, `version ${key.version} ends before it begins`);
    if (!next) continue;
    hold(end <= next.activatesAt, `1: versions ${key.version} and ${next.version} sign at once`);
    hold(end === next.activatesAt || gaps.includes(end), `2: nobody signs after version ${key.version}`);
  }
  hold(keys.filter((key) => key.signs && stateOf(key, now) === 'active').length <= 1, '1: two sign');
  for (const [index, key] of keys.entries()) {
    const { version, activation, activatesAt, publishedAt, lead, retiresAt, expiresAt, verifyTail } = key;
    hold(version === index + 1, `version ${version} where ${index + 1} was due`);
    if (activation === 'scheduled' || activation === 'early')
      hold(activatesAt >= publishedAt + lead, `3: version ${version} was public too shortly`);
    if (key.signs && retiresAt !== null)
      hold((expiresAt ?? 0) >= retiresAt + verifyTail, `5: version ${version} does not outlive its tokens`);
    if (key.revokedAt !== null && key.revocationReason !== 'superseded')
      hold(
        samePair(keys, key).every((other) => other.revokedAt !== null),
        `12: the pair of version ${version} lives on`,
      );
  }
  for (const drift of DRIFTS) {
    const signer = signerAmong(keys, now + drift);
    if (signer)
      hold(
        DRIFTS.every((other) => verifies(signer, now + other, policy.clockSkew)),
        `13, 15: what a server signs that is ${drift} ms ahead is not good everywhere`,
      );
  }
  return found;
}

const INSTANTS = [
  'publishedAt',
  'activatesAt',
  'retiresAt',
  'expiresAt',
  'revokedAt',
  'privateKeyDestroyedAt',
] as const;
const FACTS = [
  'kid',
  'algorithm',
  'signs',
  'origin',
  'renewedFrom',
  'thumbprint',
  'lead',
  'maxTokenTtl',
  'verifyTail',
] as const;

/** What changed that must not: facts (6), and private halves that somebody needs (16). */
function changedAmiss(before: readonly SigningKey[], then: number, after: readonly SigningKey[]): string[] {
  return before.flatMap((old, index) => {
    const key = after[index];
    if (!key) return [`6: version ${old.version} is gone`];
    const moved = [
      ...FACTS.filter((name) => key[name] !== old[name]),
      ...INSTANTS.filter((name) => (old[name] ?? Infinity) <= then && key[name] !== old[name]),
    ].map((name) => `6: ${name} of version ${old.version} changed`);
    const ended = old.privateKeyDestroyedAt === null && key.privateKeyDestroyedAt !== null;
    const needed =
      ended &&
      samePair(before, old).some((other) => other.signs && ['active', 'pending'].includes(stateOf(other, then)));
    return needed ? [...moved, `16: the private half of version ${old.version} was needed`] : moved;
  });
}

/** 9: rotating, revoking and waiting make no key. 10: nor does who opens nothing, while there is something to open. */
const mayMake = (what: Step['do'], keys: readonly SigningKey[], now: number): boolean =>
  MAKERS.has(what) || (what === 'tick that opens nothing' && !signerAmong(keys, now) && !standbyAmong(keys, now));
const MAKERS = new Set<string>(['tick', 'stale tick', 'renew', 'replace', 'import', 'admit']);

describe('planning keys', () => {
  it('bootstraps a key that signs at once, and a standby due a whole interval later', () => {
    const world = new World(1_000_000);
    world.tick();
    expect(world.keys.map(({ activation, activatesAt }) => [activation, activatesAt - world.now])).toEqual([
      ['bootstrap', 0],
      ['scheduled', policy.rotationInterval],
    ]);
  });

  it('keeps every rule of the life of a key over any history', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World(1_000_000);
        world.tick();
        let stale = world.keys;
        for (const next of steps) {
          const { keys: before, now: then } = world;
          act(world, next, stale);
          const opened = world.keys.some(
            ({ version, activation }, index) =>
              activation === 'emergency' && world.shut.has(version) && before[index]?.activation !== activation,
          );
          const made = world.keys.length > before.length && !mayMake(next.do, before, then);
          const faults = [
            ...broken(world),
            ...changedAmiss(before, then, world.keys),
            ...(made ? ['9: a key was made'] : []),
            ...(opened ? ['10: a standby took over that nobody opens'] : []),
          ];
          if (faults.length > 0) expect({ after: next, faults }).toEqual({ after: next, faults: [] });
          if (next.do === 'pass') stale = before;
        }
      }),
      { numRuns: 3_000, seed },
    );
  });

  it('is settled after one tick, whatever happened before, with one signer and one standby', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const world = new World(1_000_000);
        for (const next of steps) act(world, next);
        world.shut.clear();
        world.tick();
        expect(isSettled(planKeys(world.keys, world.policy, world.now, everything))).toBe(true);
        expect(signerAmong(world.keys, world.now)).toBeDefined();
        expect(standbyAmong(world.keys, world.now)).toBeDefined();
      }),
      { numRuns: 1_000, seed },
    );
  });

  it('keeps every token good for its whole life across any rotation', () => {
    fc.assert(
      fc.property(
        fc.array(
          step.filter(({ do: what }) => !what.startsWith('revoke') && what !== 'settings'),
          { maxLength: 30 },
        ),
        fc.integer({ min: 0, max: HOUR }),
        (steps, later) => {
          const world = new World(1_000_000);
          world.tick();
          for (const next of steps) {
            const signer = signerAmong(world.keys, world.now);
            const issuedAt = world.now;
            act(world, next);
            const after = world.keys.find((key) => key.version === signer?.version);
            const judgedAt = issuedAt + Math.min(later, signer?.maxTokenTtl ?? 0);
            if (after && judgedAt >= world.now) expect(verifies(after, judgedAt, policy.clockSkew)).toBe(true);
          }
        },
      ),
      { numRuns: 500, seed },
    );
  });

  it('has one signer, of a key that there was, and breaks no rule, wherever the clock is set back to', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2 * DAY, max: 100 * DAY }), { maxLength: 6 }),
        fc.integer({ min: 1, max: DAY }),
        (passes, back) => {
          const world = new World(1_000 * DAY);
          world.tick();
          for (const time of passes) {
            world.now += time;
            world.tick();
          }
          const versions = world.keys.length;
          world.now -= back;
          world.tick();
          expect(signerAmong(world.keys, world.now)).toMatchObject({ privateKeyDestroyedAt: null });
          expect(standbyAmong(world.keys, world.now)).toMatchObject({ privateKeyDestroyedAt: null });
          expect(world.keys).toHaveLength(versions);
          expect(broken(world)).toEqual([]);
          expect(isSettled(planKeys(world.keys, policy, world.now, everything))).toBe(true);
        },
      ),
      { numRuns: 500, seed },
    );
  });

  it('ends no private half before the revocation that ends it, where the clock was set back', () => {
    const world = new World(1_000_000);
    world.tick();
    world.revoke(1);
    world.now -= 1;
    expect(world.tick().destroy).toEqual([]);
    world.now += 1;
    expect(world.tick().destroy).toEqual([1]);
  });

  it('goes on signing with the last key when no tick ever comes again', () => {
    const world = new World(1_000_000);
    world.tick();
    world.now += 100 * 365 * DAY;
    expect(signerAmong(world.keys, world.now)?.version).toBe(2);
  });

  it('mints in an emergency when nothing can sign and nothing waits', () => {
    const world = new World(1_000_000);
    world.tick();
    world.revoke(2);
    world.revoke(1);
    expect(signerAmong(world.keys, world.now)).toBeUndefined();
    expect(world.tick().mints.map((mint) => mint.activation)).toEqual(['emergency', 'scheduled']);
  });

  it('makes no key while it cannot open those that may still sign', () => {
    const world = new World(1_000_000);
    world.tick();
    world.revoke(2);
    expect(planKeys(world.keys, policy, world.now, nothing)).toMatchObject({
      mints: [],
      destroy: [2],
      stuck: { code: 'keys_unavailable' },
    });
  });

  it('lets no standby take over that nobody can open, though nobody signs, and at once when somebody can', () => {
    const world = new World(1_000_000);
    world.tick();
    world.shut.add(2);
    world.revoke(1);
    expect(signerAmong(world.keys, world.now)).toBeUndefined();
    expect(world.tick()).toMatchObject({ mints: [], destroy: [1], stuck: { code: 'keys_unavailable' } });
    world.now += policy.rotationInterval - 60_000;
    expect(world.tick()).toMatchObject({
      takeover: { activation: 'scheduled', at: world.now + policy.publishLead },
      stuck: { message: expect.stringMatching(/no running server opens 2-kid.*replace-standby/) },
    });

    const elsewhere = { opensHere: () => false, opensAnywhere: () => true };
    const takeover = { version: 2, activation: 'emergency', at: world.now };
    expect(planKeys(world.keys, policy, world.now, elsewhere)).toEqual({ takeover, mints: [], destroy: [] });
    world.shut.clear();
    expect(world.tick()).toMatchObject({ takeover, mints: [{ activatesAt: world.now + policy.rotationInterval }] });
  });

  it('moves the takeover of a standby back that nobody can open, and leaves one alone that another server opens', () => {
    const world = new World(1_000_000);
    world.tick();
    world.now += policy.rotationInterval - 60_000;
    expect(planKeys(world.keys, policy, world.now, nothing).takeover).toEqual({
      version: 2,
      activation: 'scheduled',
      at: world.now + policy.publishLead,
    });
    expect(
      isSettled(planKeys(world.keys, policy, world.now, { opensHere: () => false, opensAnywhere: () => true })),
    ).toBe(true);
    world.tick(nothing);
    expect(isSettled(planKeys(world.keys, policy, world.now, nothing))).toBe(true);
  });

  it('destroys a private half once its key can sign no more, even on a server that lags', () => {
    const world = new World(1_000_000);
    world.tick();
    world.now += policy.rotationInterval + policy.refreshBound - 1;
    expect(world.tick().destroy).toEqual([]);
    world.now += 1;
    expect(world.tick().destroy).toEqual([1]);
  });

  it('keeps a private half while another row holds the same pair', () => {
    const world = new World(1_000_000);
    world.tick();
    world.keys = world.keys.map((key) => ({ ...key, thumbprint: 'the same' }));
    world.now += policy.rotationInterval + policy.refreshBound;
    expect(world.tick().destroy).toEqual([]);
  });

  it('relates HMAC keys, which have no thumbprint, through what they were renewed from', () => {
    const world = new World(1_000_000);
    world.tick();
    world.now += policy.rotationInterval;
    world.tick();
    const keys = world.keys.map((key) => ({ ...key, thumbprint: null, renewedFrom: key.version === 3 ? 1 : null }));
    const [first, second] = keys;
    expect(first && samePair(keys, first).map((key) => key.version)).toEqual([1, 3]);
    expect(second && samePair(keys, second).map((key) => key.version)).toEqual([2]);
  });
});

describe('planning a rotation', () => {
  const world = new World(1_000_000);
  world.tick();
  const early = world.now + policy.publishLead - 1;

  it('refuses a standby younger than its lead and says from when', () => {
    expect(() => planRotation(world.keys, early, {})).toThrow(
      expect.objectContaining({
        code: 'standby_too_young',
        details: expect.objectContaining({ from: new Date(early + 1).toISOString() }),
      }),
    );
  });

  it('lets force go on, and calls it forced', () => {
    expect(planRotation(world.keys, early, { force: true })).toEqual({ version: 2, activation: 'forced', at: early });
  });

  it('lets a standby that was public for its lead take over early, force or not', () => {
    fc.assert(
      fc.property(fc.boolean(), (force) => {
        expect(planRotation(world.keys, early + 1, { force }).activation).toBe('early');
      }),
    );
  });

  it('refuses when another version signs than the one that is meant to retire', () => {
    expect(() => planRotation(world.keys, early + 1, { fromVersion: 2 })).toThrow(
      expect.objectContaining({ code: 'version_conflict' }),
    );
    expect(planRotation(world.keys, early + 1, { fromVersion: 1 }).version).toBe(2);
  });

  it('refuses when no standby is published', () => {
    expect(() => planRotation(world.keys.slice(0, 1), early, {})).toThrow(
      expect.objectContaining({ code: 'key_change_refused' }),
    );
  });
});
