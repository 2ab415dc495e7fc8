import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { checkPassword } from './password-policy.js';

const ANNA = { username: 'anna.schmidt@example.com' };

const TOO_SHORT = /needs at least 15 characters/;
const TOO_LONG = /at most 128 characters/;
const DAMAGED = /damaged character/;
const REGULAR = /only repeats itself or runs/;
const COMMON = /common/;
const OWN = /your user name or the name of this service/;

describe('a password is fine', () => {
  it.each([
    ['unrelated words', 'winter apple staircase'],
    ['small letters only', 'staircasewalnut'],
    ['digits only, at random', '830174629550318'],
    ['signs only', '!?.,;:-_"$%&/()=#'],
    ['spaces around it', '   staircase lamp '],
    ['another script', '正しい馬の電池とホチキスの針です'],
    ['combined emoji', '👩‍🚀🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧'],
    ['the own name among other words', 'anna eats seven blue lobsters'],
    ['the product among other words', 'keyturn needs seven blue lobsters'],
    ['a short run within', 'staircase 123 walnut'],
  ])('%s', (_, password) => {
    expect(checkPassword(password, ANNA)).toEqual([]);
  });

  it('when it is random, whatever it holds', () => {
    fc.assert(
      fc.property(fc.noBias(fc.uint8Array({ minLength: 18, maxLength: 18 })), (bytes) => {
        expect(checkPassword(Buffer.from(bytes).toString('base64url'), ANNA)).toEqual([]);
      }),
    );
  });
});

describe('its length', () => {
  it('is 15 to 128 characters', () => {
    const walnuts = 'staircase, walnut; ' + fill(200);
    expect(checkPassword(walnuts.slice(0, 14), {})).toEqual([expect.stringMatching(TOO_SHORT)]);
    expect(checkPassword(walnuts.slice(0, 15), {})).toEqual([]);
    expect(checkPassword(walnuts.slice(0, 128), {})).toEqual([]);
    expect(checkPassword(walnuts.slice(0, 129), {})).toEqual([expect.stringMatching(TOO_LONG)]);
  });

  it('counts code points, not UTF-16 units', () => {
    expect(checkPassword('🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵', {})).toEqual([expect.stringMatching(/this one has 10\./)]);
  });

  it('counts them once composed', () => {
    const decomposed = 'zoe\u0308 cafe\u0301 a\u030angs'; // 16 code points, 13 composed
    expect(checkPassword(decomposed, {})).toEqual([expect.stringMatching(/this one has 13/)]);
  });

  it.each(['', 'a', '🦊'])('may not be nothing: %j', (password) => {
    expect(checkPassword(password, ANNA)).toEqual([expect.stringMatching(TOO_SHORT)]);
  });

  it('of a megabyte is refused without a closer look', () => {
    expect(checkPassword('password'.repeat(1 << 17), ANNA)).toEqual([expect.stringMatching(TOO_LONG)]);
  });
});

describe('a password is refused', () => {
  it.each([
    ['half a surrogate pair', 'staircase walnut \ud83e', DAMAGED],
    ...['\0', '\t', '\n', '\u007f', '\u0085'].map(
      (control) => ['a control character', `staircase walnut lamp${control}`, /control character/] as const,
    ),
    ['the other half', '\udd8astaircase walnut', DAMAGED],
    ['halves in the wrong order', 'staircase \udd8a\ud83e walnut', DAMAGED],
    ['one character', 'aaaaaaaaaaaaaaa', REGULAR],
    ['one character, not ASCII', '🦊'.repeat(15), REGULAR],
    ['one character in two cases', 'aAaAaAAAaaaAAaa', REGULAR],
    ['two characters', 'abababababababa', REGULAR],
    ['a piece said twice', 'kq7vbwm2kq7vbwm2', REGULAR],
    ['digits in order', '123456789012345', REGULAR],
    ['digits backwards', '987654321098765', REGULAR],
    ['digits up and down', '12345678987654321', REGULAR],
    ['the alphabet', 'abcdefghijklmno', REGULAR],
    ['rows of keys', 'qwertyuiopasdfg', REGULAR],
    ['columns of keys', '1qaz2wsx3edc4rfv', REGULAR],
    ['runs one after the other', 'abc123xyz789qwe', REGULAR],
    ['groups of one character', '111222333444555', REGULAR],
    ['a common one', 'password1234567', COMMON],
    ['a common one, dressed up', 'P@ssw0rd!P@ssw0rd?', COMMON],
    ['the product', 'keyturnkeyturn1', OWN],
    ['the product and a year', 'KeyTurn-2026-2026', OWN],
    ['the product in disguise', 'k3y7urn_99_88_77', OWN],
    ['the product and a common word', 'keyturn-password', OWN],
    ['the e-mail address', 'anna.schmidt@example.com', OWN],
    ['the e-mail address and a digit', 'Anna.Schmidt@example.com1', OWN],
    ['parts of it the other way round', 'schmidt.anna.1985', OWN],
    ['the domain', 'example.com/2026', OWN],
    ['the name and a run', 'schmidt123456789', OWN],
  ])('%s', (_, password, problem) => {
    expect(checkPassword(password, ANNA)).toContainEqual(expect.stringMatching(problem));
  });

  it('the plain e-mail address anna@example.com with a digit', () => {
    expect(checkPassword('anna@example.com1', { username: 'anna@example.com' })).toEqual([expect.stringMatching(OWN)]);
  });

  it('when the company name is all there is to it', () => {
    const context = { productWords: ['Müller & Söhne'] };
    expect(checkPassword('mu\u0308llerso\u0308hne2026', context)).toEqual([expect.stringMatching(OWN)]);
    expect(checkPassword('keyturn-walnuts!', context)).toEqual([]);
  });

  it('whatever digits and signs surround the own name', () => {
    const decoration = fc.string({
      unit: fc.constantFrom(...Array.from('0123456789.-_@!')),
      minLength: 4,
      maxLength: 40,
    });
    fc.assert(
      fc.property(decoration, decoration, fc.constantFrom('schmidt', 'ANNA', 'keyturn'), (before, after, word) => {
        expect(checkPassword(before + word + after, ANNA)).toContainEqual(expect.stringMatching(OWN));
      }),
    );
  });

  it('for several reasons at once, each in its own sentence', () => {
    const problems = checkPassword('aaaaaaaa', { username: 'aaa' });
    expect(problems).toEqual([
      expect.stringMatching(TOO_SHORT),
      expect.stringMatching(REGULAR),
      expect.stringMatching(OWN),
    ]);
  });
});

describe('whatever the password', () => {
  it('the answer is sentences, which never repeat it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.string({ unit: 'binary' }),
        (password, username) => {
          for (const problem of checkPassword(password, { username })) {
            expect(problem).toMatch(/^[A-Z].*\.$/);
            if (password.length >= 15) expect(problem).not.toContain(password);
          }
        },
      ),
    );
  });

  it('one spelling is judged like the other', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (password) => {
        expect(checkPassword(password.normalize('NFD'), ANNA)).toEqual(checkPassword(password.normalize('NFC'), ANNA));
      }),
    );
  });
});

/** Text without pattern, the same every time. */
function fill(length: number): string {
  return Array.from({ length }, (_, at) => String.fromCharCode(97 + (((at * at * 7 + at * 3) % 101) % 26))).join('');
}
