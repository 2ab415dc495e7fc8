import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { KeyturnError } from '../common/errors.js';
import type { KeyPolicy } from '../config/config.js';
import { afterPlan, afterTakeover } from './forecast.js';
import {
  isSettled,
  planKeys,
  planRotation,
  samePair,
  type KeyPlan,
  type Readability,
  type Takeover,
} from './plan-keys.js';
import { signerAmong, standbyAmong, stateOf, verifies, type SigningKey } from './signing-key.js';

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

/** What the database does with a plan, and by itself after a revocation: the model that the SQL specs hold the real one to. */
class World {
  keys: readonly SigningKey[] = [];
  /** Instants at which a revocation left nobody to sign. */
  readonly gaps: number[] = [];

  constructor(public now: number) {}

  tick(readable: Readability = everything): KeyPlan {
    const plan = planKeys(this.keys, policy, this.now, readable);
    this.keys = afterPlan(this.keys, plan, this.now).map((key) => ({
      ...key,
      thumbprint: key.thumbprint ?? `${key.version}`,
    }));
    return plan;
  }

  takeOver(takeover: Takeover): void {
    this.keys = afterTakeover(this.keys, takeover);
  }

  revoke(version: number): void {
    this.keys = this.keys.map((key) => {
      if (key.version !== version || key.revokedAt !== null) return key;
      const retiresAt = Math.max(key.activatesAt, Math.min(key.retiresAt ?? Infinity, this.now));
      return {
        ...key,
        revokedAt: this.now,
        revocationReason: 'leaked',
        retiresAt,
        expiresAt: key.expiresAt ?? retiresAt + key.verifyTail,
      };
    });
    const standby = standbyAmong(this.keys, this.now);
    if (!signerAmong(this.keys, this.now)) {
      if (standby)
        this.keys = this.keys.map((key) =>
          key === standby ? { ...key, activation: 'emergency', activatesAt: this.now } : key,
        );
      else this.gaps.push(this.now);
    } else if (!standby) {
      this.keys = this.keys.map((key) =>
        key.revokedAt === null && (key.retiresAt ?? 0) > this.now ? { ...key, retiresAt: null, expiresAt: null } : key,
      );
    }
  }
}

type Step =
  | { readonly do: 'pass'; readonly time: number }
  | { readonly do: 'tick' | 'rotate' | 'force' | 'revokeSigner' | 'revokeStandby' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      time: fc.oneof(fc.integer({ min: 1, max: 2 * HOUR }), fc.integer({ min: 1, max: 100 * DAY })),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'tick' as const,
        'rotate' as const,
        'force' as const,
        'revokeSigner' as const,
        'revokeStandby' as const,
      ),
    }),
  },
);

function act(world: World, { do: what, ...rest }: Step): void {
  const { now } = world;
  if ('time' in rest) world.now += rest.time;
  if (what === 'tick') world.tick();
  if (what === 'rotate' || what === 'force') {
    try {
      world.takeOver(planRotation(world.keys, now, { force: what === 'force' }));
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
    }
  }
  const target =
    what === 'revokeSigner'
      ? signerAmong(world.keys, now)
      : what === 'revokeStandby'
        ? standbyAmong(world.keys, now)
        : undefined;
  if (target) world.revoke(target.version);
}

function expectRulesToHold({ keys, now, gaps }: World): void {
  const windows = keys
    .filter((key) => key.signs && key.retiresAt !== key.activatesAt)
    .toSorted((a, b) => a.activatesAt - b.activatesAt);
  for (const [index, key] of windows.entries()) {
    const next = windows[index + 1];
    expect(key.retiresAt ?? Infinity).toBeGreaterThan(key.activatesAt);
    if (next) expect(key.retiresAt ?? Infinity).toBeLessThanOrEqual(next.activatesAt); // 1: one signer
    if (next && key.retiresAt !== next.activatesAt) expect(gaps).toContain(key.retiresAt); // 2: no gap but by revocation
  }
  for (const key of keys) {
    if (key.activation === 'scheduled' || key.activation === 'early')
      expect(key.activatesAt).toBeGreaterThanOrEqual(key.publishedAt + key.lead); // 3
    if (key.retiresAt !== null) expect(key.expiresAt).toBeGreaterThanOrEqual(key.retiresAt + key.verifyTail); // 5
    if (key.privateKeyDestroyedAt !== null) expect(signerAmong([key], now)).toBeUndefined(); // 16
  }
  expect(keys.filter((key) => key.signs && stateOf(key, now) === 'active').length).toBeLessThanOrEqual(1);
}

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
        for (const next of steps) {
          act(world, next);
          expectRulesToHold(world);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is settled after one tick, whatever happened before, with one signer and one standby', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const world = new World(1_000_000);
        for (const next of steps) act(world, next);
        world.tick();
        expect(isSettled(planKeys(world.keys, policy, world.now, everything))).toBe(true);
        expect(signerAmong(world.keys, world.now)).toBeDefined();
        expect(standbyAmong(world.keys, world.now)).toBeDefined();
      }),
      { numRuns: 1_000 },
    );
  });

  it('keeps every token good for its whole life across any rotation', () => {
    fc.assert(
      fc.property(
        fc.array(
          step.filter(({ do: what }) => !what.startsWith('revoke')),
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
            const judgedAt = issuedAt + Math.min(later, policy.maxTokenTtl);
            if (after && judgedAt >= world.now) expect(verifies(after, judgedAt, policy.clockSkew)).toBe(true);
          }
        },
      ),
      { numRuns: 500 },
    );
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
    expect(() => planKeys(world.keys, policy, world.now, nothing)).toThrow(
      expect.objectContaining({ code: 'keys_unavailable' }),
    );
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
