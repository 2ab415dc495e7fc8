import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CannotOpen, KeyEncryptionKeys } from './key-encryption-keys.js';

const first = KeyEncryptionKeys.newLine();
const second = KeyEncryptionKeys.newLine();
const keys = KeyEncryptionKeys.parse(first);
const bytes = fc.uint8Array({ maxLength: 3_000 }).map((array) => Buffer.from(array));

describe('key-encryption keys', () => {
  it('open what they sealed, for the row that it belongs to', () => {
    fc.assert(
      fc.property(bytes, fc.string(), (secret, binds) => {
        expect(keys.open(keys.seal(secret, binds), binds)).toEqual(secret);
      }),
    );
  });

  it('do not open what was moved beside another row', () => {
    const sealed = keys.seal(Buffer.from('secret'), '1-abcdefgh|1|RS256');
    expect(() => keys.open(sealed, '2-abcdefgh|2|RS256')).toThrow(CannotOpen);
  });

  it('do not open what was damaged, wherever', () => {
    const { kekId, sealed } = keys.seal(Buffer.from('secret'), 'row');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: sealed.length - 1 }), fc.integer({ min: 1, max: 255 }), (index, flip) => {
        const damaged = Buffer.from(sealed);
        damaged[index] = (damaged[index] ?? 0) ^ flip;
        expect(() => keys.open({ kekId, sealed: damaged }, 'row')).toThrow(CannotOpen);
      }),
    );
  });

  it('do not open what was cut short', () => {
    const { kekId, sealed } = keys.seal(Buffer.from('secret'), 'row');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: sealed.length - 1 }), (length) => {
        expect(() => keys.open({ kekId, sealed: sealed.subarray(0, length) }, 'row')).toThrow(CannotOpen);
      }),
    );
  });

  it('never use a nonce twice', () => {
    const nonces = Array.from({ length: 1_000 }, () =>
      keys.seal(Buffer.from('x'), 'row').sealed.toString('hex', 0, 12),
    );
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('seal with the first and open with every one', () => {
    const old = keys.seal(Buffer.from('secret'), 'row');
    const both = KeyEncryptionKeys.parse(`# turned\n${second}\n${first}\n`);
    expect(both.currentId).toBe(second.split(':')[0]);
    expect(both.open(old, 'row').toString()).toBe('secret');
    expect(() => keys.open(both.seal(Buffer.from('secret'), 'row'), 'row')).toThrow(/which KEK_FILE does not hold/);
  });

  it.each([
    ['nothing', '\n# only a comment\n', /holds no key/],
    ['a key without id', first.split(':')[1] ?? '', /line 1 is not id:base64/],
    ['a key that is too short', 'a:c2hvcnQ=', /line 1 is not id:base64/],
    ['an id twice', `${first}\n${first}`, /line 2 repeats the id/],
  ])('refuse %s and show no key', (_, text, problem) => {
    expect(() => KeyEncryptionKeys.parse(text)).toThrow(problem);
    const shown = fc.sample(fc.constant(text)).join('').split(':')[1];
    expect(() => KeyEncryptionKeys.parse(text)).not.toThrow(shown || 'never said');
  });
});
