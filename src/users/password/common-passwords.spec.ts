import { createRequire } from 'node:module';
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
    ['an entry of the list', 'polniypizdec0211'],
    ['an entry of the list in capitals', '1QAZ2WSX3EDC4RFV'],
    ['a rarer one with digits behind it', 'Scandinavian2026!!'],
    ['a rarer one twice', 'supernatural-supernatural'],
    ['a rarer one said again and again, and a sign', 'hdhdhd1hdhdhd1!!'.replaceAll('hdhdhd1', 'chicken1')],
    ['one with digits of its own and others', '!!chickenwing1012026'],
    ['a rarer one with blanks between its letters', 's c a n d i n a v i a n 1'],
    ['a rarer one backwards', 'lanoisseforp12345'],
    ['a rarer one with signs for letters', 'pr0f3$$i0n@l 1985'],
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
    ['two rarer ones', 'scandinavian contortionist'],
    ['a rarer one with a word that is not in the list', 'supernatural xylophone'],
    ['nothing', ''],
  ])('but not %s', (_, password) => {
    expect(isCommonPassword(password)).toBe(false);
  });

  it('but not when it is words at random', () => {
    const { dictionary } = createRequire(import.meta.url)('@zxcvbn-ts/language-common');
    const words = fc.array(fc.constantFrom<string>(...dictionary['diceware-common']), { minLength: 4, maxLength: 8 });
    const between = fc.constantFrom(' ', '-', '', '. ', '7');
    fc.assert(
      fc.property(words, between, fc.boolean(), (chosen, separator, capitals) => {
        const spelt = capitals ? chosen.map((word) => word.charAt(0).toUpperCase() + word.slice(1)) : chosen;
        expect([spelt.join(separator), isCommonPassword(spelt.join(separator))]).toEqual([
          spelt.join(separator),
          false,
        ]);
      }),
      { numRuns: 300 },
    );
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
