import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { isCommonPassword } from './common-passwords.js';

describe('a password is common', () => {
  it.each([
    ['a common word', 'password'],
    ['in capitals', 'PASSWORD'],
    ['with digits behind it', 'password1234567'],
    ['with digits that follow no pattern', 'password83174629'],
    ['with digits before it', '20262026password'],
    ['with a year and signs', 'Summer2026!!!!!!'],
    ['said twice', 'passwordpassword'],
    ['two of them', 'dragon-monkey-42'],
    ['filled up with a run', 'letmeinabcdefghij'],
    ['filled up with one character', 'adminxxxxxxxxxxx'],
    ['filled up with a few letters', 'welcome12345abXy'],
    ['with signs for letters', 'P@$$w0rd1234567'],
    ['with 1 for i', 'm1chael83174629'],
    ['with 1 for l', 'we1come_we1come_'],
    ['backwards', 'drowssap1234567'],
    ['in full-width letters', 'ｐａｓｓｗｏｒｄ1234567'],
    ['a phrase that everybody knows', 'correct horse battery staple'.replaceAll(' ', '')],
  ])('%s', (_, password) => {
    expect(isCommonPassword(password)).toBe(true);
  });

  it.each([
    ['unrelated words', 'winter apple staircase'],
    ['a common word among others', 'my monkey plays the trombone'],
    ['a common word within another', 'contestant blueprint'],
    ['letters at random', 'kqzvbwmfjxhtrpd'],
    ['digits at random', '830174629550318'],
    ['another script', '正しい馬の電池とホチキスの針です'],
    ['nothing', ''],
  ])('but not %s', (_, password) => {
    expect(isCommonPassword(password)).toBe(false);
  });

  it('whatever digits and signs surround it', () => {
    const decoration = fc.string({ unit: fc.constantFrom(...Array.from('0123456789 .,;:-_#*/()')) });
    fc.assert(
      fc.property(decoration, fc.constantFrom('password', 'Dragon', 'LETMEIN'), decoration, (before, word, after) => {
        expect(isCommonPassword(before + word + after)).toBe(true);
      }),
    );
  });
});
