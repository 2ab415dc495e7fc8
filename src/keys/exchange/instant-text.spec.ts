import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseInstant } from './instant-text.js';

describe('a time in text', () => {
  it.each([
    ['2026-11-01', '2026-11-01T00:00:00.000Z'],
    ['2026-11-01T09:30', '2026-11-01T09:30:00.000Z'],
    ['2026-11-01 09:30:15', '2026-11-01T09:30:15.000Z'],
    ['2026-11-01T09:30:15.123456', '2026-11-01T09:30:15.123Z'],
    ['2026-11-01 09:30:15.123456+00:00', '2026-11-01T09:30:15.123Z'],
    ['2026-11-01T09:30:15Z', '2026-11-01T09:30:15.000Z'],
    ['2026-11-01T09:30:15+02:00', '2026-11-01T07:30:15.000Z'],
    ['2026-11-01T09:30:15-0530', '2026-11-01T15:00:15.000Z'],
    ['2026-11-01T09:30:15 +02', '2026-11-01T07:30:15.000Z'],
    ['2028-02-29', '2028-02-29T00:00:00.000Z'],
    [' 2026-11-01\n', '2026-11-01T00:00:00.000Z'],
  ])('%j is %s', (text, iso) => {
    expect(new Date(parseInstant(text) ?? NaN).toISOString()).toBe(iso);
  });

  it.each([
    '',
    'tomorrow',
    '30d',
    '1793525400',
    '2026-02-30',
    '2026-13-01',
    '2027-02-29T00:00:00Z',
    '2026-11-01T24:00:00',
    '2026-11-01T09:60',
    '2026-11-01T09:30:60Z',
    '2026-11-01T09:30:15+25:00',
    '2026-11-01Z',
    '2026-11-01T09:30:15 CET',
    '11/01/2026',
  ])('%j is none', (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });

  it('means the same instant with a zone and, in UTC, without one', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1970-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (date) => {
          const iso = date.toISOString();
          return (
            parseInstant(iso) === date.getTime() && parseInstant(iso.slice(0, -1).replace('T', ' ')) === date.getTime()
          );
        },
      ),
    );
  });
});
