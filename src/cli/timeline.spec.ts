import { describe, expect, it } from '@jest/globals';
import type { SigningKey } from '../keys/signing-key.js';
import { canDraw, timeline } from './timeline.js';

const DAY = 86_400_000;
const BEGIN = Date.UTC(2026, 0, 1);

const key = (version: number, activatesAt: number, retiresAt: number | null, expiresAt: number | null): SigningKey => ({
  version,
  kid: `${version}-NzbLsXh8`,
  algorithm: 'ES256',
  signs: true,
  origin: 'generated',
  renewedFrom: null,
  activation: 'scheduled',
  publicJwk: null,
  thumbprint: null,
  publishedAt: activatesAt - 10 * DAY,
  activatesAt,
  retiresAt,
  expiresAt,
  lead: DAY,
  maxTokenTtl: DAY,
  verifyTail: 10 * DAY,
  revokedAt: null,
  revocationReason: null,
  privateKeyDestroyedAt: null,
});

describe('the picture of keys over time', () => {
  const keys = [key(1, BEGIN + 10 * DAY, BEGIN + 30 * DAY, BEGIN + 40 * DAY), key(2, BEGIN + 30 * DAY, null, null)];
  it.each([
    ['in blocks where the terminal can draw', true, '░', '█', '▒', '│'],
    ['in plain characters elsewhere', false, '.', '#', '-', '|'],
  ])(
    'is one bar a key, a mark where now is, a scale and what the marks mean, %s',
    (_where, draw, published, signs, verifies, now) => {
      const aColumnADay = timeline(keys, BEGIN + 20.5 * DAY, BEGIN, BEGIN + 60 * DAY, draw);
      expect(aColumnADay.split('\n')).toEqual([
        `            2026-01-01${' '.repeat(40)}2026-03-02`,
        `1-NzbLsXh8  ${published.repeat(10)}${signs.repeat(10)}${now}${signs.repeat(9)}${verifies.repeat(10)}${' '.repeat(20)}`,
        `2-NzbLsXh8  ${' '.repeat(20)}${now}${published.repeat(9)}${signs.repeat(30)}`,
        `            ${published} published  ${signs} signs  ${verifies} verifies  ${now} now`,
      ]);
    },
  );
});

it.each([
  [{ LANG: 'de_DE.UTF-8' }, true],
  [{ LC_CTYPE: 'C.utf8' }, true],
  [{ LANG: 'C.UTF-8', TERM: 'dumb' }, false],
  [{ LC_ALL: 'C', LANG: 'en_GB.UTF-8' }, false],
  [{}, false],
])('a terminal that says %j can draw: %s', (environment, draws) => {
  expect(canDraw(environment)).toBe(draws);
});
