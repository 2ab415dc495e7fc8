import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  firstRefreshToken,
  hashOf,
  leadsTo,
  readRefreshToken,
  FARTHEST_ANCESTOR,
  successorOf,
  writeRefreshToken,
  type RefreshToken,
} from './refresh-token.js';

const secret = randomBytes(32);
const family = (length: number): RefreshToken[] => {
  const tokens = [firstRefreshToken(randomUUID())];
  while (tokens.length < length) tokens.push(successorOf(tokens[tokens.length - 1] ?? firstRefreshToken(''), secret));
  return tokens;
};

describe('a refresh token', () => {
  it('reads as it was written', () => {
    for (const token of family(20)) expect(readRefreshToken(writeRefreshToken(token, secret), secret)).toEqual(token);
  });

  it('has the same successor each time, and another one under another secret', () => {
    const token = firstRefreshToken(randomUUID());
    expect(successorOf(token, secret)).toEqual(successorOf(token, secret));
    expect(successorOf(token, secret).bits).not.toEqual(successorOf(token, randomBytes(32)).bits);
  });

  it('leads to every later token of its family and to no earlier one', () => {
    const tokens = family(12);
    for (const [earlier, token] of tokens.entries()) {
      for (const [later, other] of tokens.entries()) {
        expect(leadsTo(token, other.generation, hashOf(other), secret)).toBe(earlier <= later);
      }
    }
  });

  it('does not lead anywhere when its bits are guessed', () => {
    const current = family(5)[4];
    const guess = { sessionId: current?.sessionId ?? '', generation: 2, bits: randomBytes(32) };
    expect(current && leadsTo(guess, current.generation, hashOf(current), secret)).toBe(false);
  });

  it('leads to its ten-thousandth successor, and is not derived any further', () => {
    const [first, ...others] = family(FARTHEST_ANCESTOR + 2);
    const [farthest, beyond] = others.slice(-2);
    expect(first && farthest && leadsTo(first, farthest.generation, hashOf(farthest), secret)).toBe(true);
    expect(first && beyond && leadsTo(first, beyond.generation, hashOf(beyond), secret)).toBe(false);
  });

  it('has one spelling only', () => {
    const text = writeRefreshToken(firstRefreshToken(randomUUID()), secret);
    fc.assert(
      fc.property(fc.string(), (junk) => {
        fc.pre(junk !== '');
        for (const other of [text + junk, junk + text]) expect(readRefreshToken(other, secret)).toBeUndefined();
      }),
    );
    expect(readRefreshToken(`${text}=`, secret)).toBeUndefined();
  });

  it('is none when a single bit of it was changed, or it was written under another secret: so nothing is derived for it', () => {
    const token = firstRefreshToken(randomUUID());
    const bytes = Buffer.from(writeRefreshToken(token, secret).slice('ktr_'.length), 'base64url');
    expect(bytes).toHaveLength(16 + 4 + 32 + 16);
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const forged = Buffer.from(bytes);
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(readRefreshToken(`ktr_${forged.toString('base64url')}`, secret)).toBeUndefined();
    }
    expect(readRefreshToken(writeRefreshToken(token, randomBytes(32)), secret)).toBeUndefined();
  });

  it('counts no further than its column', () => {
    const token = firstRefreshToken(randomUUID());
    expect(readRefreshToken(writeRefreshToken({ ...token, generation: 2 ** 30 }, secret), secret)).toBeDefined();
    for (const generation of [2 ** 30 + 1, 2 ** 31, 2 ** 32 - 1])
      expect(readRefreshToken(writeRefreshToken({ ...token, generation }, secret), secret)).toBeUndefined();
  });

  it('is never read from anything else', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.startsWith('ktr_'));
        expect(readRefreshToken(text, secret)).toBeUndefined();
      }),
    );
  });
});
