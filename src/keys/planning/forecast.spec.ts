import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { KeyPolicy } from '../../config/config.js';
import { afterPlan, brokenBySettings, forecast } from './forecast.js';
import { planKeys } from './plan-keys.js';
import { signerAmong, type SigningKey } from '../signing-key.js';

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
const opens = { opensHere: () => true, opensAnywhere: () => true };
const start = 1_000_000;
const fresh = afterPlan([], planKeys([], policy, start, opens), start);

describe('a forecast', () => {
  it('foretells a takeover each interval and the publication of the one after it at the same instant', () => {
    const { events } = forecast(fresh, policy, start, start + 95 * DAY);
    const days = events.map(({ at, event, version }) => [Math.round((at - start) / DAY), event, version]);
    expect(days.filter(([, event]) => event !== 'expires')).toEqual([
      [30, 'published', 3],
      [30, 'takes over', 2],
      [60, 'published', 4],
      [60, 'takes over', 3],
      [90, 'published', 5],
      [90, 'takes over', 4],
    ]);
  });

  it('is what really happens when time passes, however often the tick comes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 * DAY }), { maxLength: 30 }), (steps) => {
        const end = start + steps.reduce((sum, step) => sum + step, 0);
        let keys: readonly SigningKey[] = fresh;
        let now = start;
        for (const step of steps) {
          now += step;
          keys = afterPlan(keys, planKeys(keys, policy, now, opens), now);
        }
        const foretold = forecast(fresh, policy, start, end).keys;
        // A late tick publishes late, so a takeover is never earlier than foretold.
        for (const key of keys) {
          const same = foretold.find((other) => other.version === key.version);
          if (same) expect(key.activatesAt).toBeGreaterThanOrEqual(same.activatesAt);
        }
        expect(signerAmong(keys, now)).toBeDefined();
      }),
    );
  });

  it('changes nothing of what has already happened', () => {
    const { keys } = forecast(fresh, policy, start, start + 400 * DAY);
    expect(keys.slice(0, 2).map(({ activatesAt, publishedAt }) => [activatesAt, publishedAt])).toEqual(
      fresh.map(({ activatesAt, publishedAt }) => [activatesAt, publishedAt]),
    );
  });

  it('shows what a shorter interval would do, and leaves the standby that waits where it is', () => {
    const { events } = forecast(fresh, { ...policy, rotationInterval: 7 * DAY }, start, start + 50 * DAY);
    const takeovers = events
      .filter(({ event }) => event === 'takes over')
      .map(({ at }) => Math.round((at - start) / DAY));
    expect(takeovers).toEqual([30, 37, 44]);
  });
});

describe('settings over the keys there are', () => {
  it('break nothing when tokens live no longer than the keys allow', () => {
    expect(brokenBySettings(fresh, HOUR, start)).toEqual([]);
  });

  it('are refused, naming each key, when tokens could outlive them', () => {
    const problems = brokenBySettings(fresh, HOUR + 1, start);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain(fresh[0]?.kid);
    expect(problems[1]).toContain(fresh[1]?.kid);
  });
});
