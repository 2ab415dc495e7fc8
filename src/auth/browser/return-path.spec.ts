import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { returnPath } from './return-path.js';

const ORIGIN = 'https://login.example.com';
/** Where a browser goes that is told this in `Location`. */
const goal = (location: string): URL => new URL(location, `${ORIGIN}/login`);

describe('the path that a login leads on to', () => {
  it.each([
    ['/', '/'],
    ['/reports', '/reports'],
    ['/reports/2026?by=month&of=sales', '/reports/2026?by=month&of=sales'],
    ['/reports#total', '/reports'],
    ['/straße', '/stra%C3%9Fe'],
    ['/a/../b', '/b'],
    ['/?next=https://evil.example', '/?next=https://evil.example'],
  ])('%s is kept as %s', (asked, path) => {
    expect(returnPath(asked, ORIGIN)).toBe(path);
  });

  it.each([
    ...['', ' ', 'reports', '?x', '#x', '.', '..', '\u0000', '/\u0000', '/\u007F', '/\u0085'],
    ...['https://evil.example', 'HTTPS:evil.example', 'https:/evil.example', 'javascript:alert(1)', 'data:,x', ORIGIN],
    ...[
      '//evil.example',
      '///evil.example',
      '////evil.example',
      '/\\evil.example',
      '\\/evil.example',
      '\\\\evil.example',
    ],
    ...[
      '/\t/evil.example',
      '/\n/evil.example',
      '/\r/evil.example',
      '\t//evil.example',
      ' //evil.example',
      '/a\r\nset-cookie: x',
    ],
    ...['/.//evil.example', '/..//evil.example', '/a/..//evil.example', '/%2e//evil.example', '/.%2E//evil.example'],
    ...[
      '/.\\evil.example',
      '//login.example.com@evil.example',
      `//${'a'.repeat(10)}`,
      `/${'a'.repeat(2_000)}`,
      '/\uD800',
    ],
  ])('%j is not', (asked) => {
    expect(returnPath(asked, ORIGIN)).toBeUndefined();
  });

  it('stays on this site, whatever was asked for', () => {
    const bits = [
      '/',
      '//',
      '\\',
      '.',
      '..',
      '%2e',
      '%2F',
      '%5C',
      '\t',
      '\n',
      '@',
      ':',
      '?',
      '#',
      'https:',
      'evil.example',
      ' ',
      '\u0000',
      'ö',
    ];
    const hostile = fc
      .array(fc.oneof(fc.constantFrom(...bits), fc.string()), { maxLength: 8 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        fc.oneof(
          hostile,
          hostile.map((text) => `/${text}`),
          fc.webUrl(),
          fc.string(),
        ),
        (asked) => {
          const path = returnPath(asked, ORIGIN);
          fc.pre(path !== undefined);
          expect(goal(path).origin).toBe(ORIGIN);
          expect(path).toMatch(/^\/[\x21-\x7E]*$/);
          expect(returnPath(path, ORIGIN)).toBe(path);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
