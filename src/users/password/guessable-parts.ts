/*
 * How a guesser reads a password: without case, with digits and signs read as letters, and in parts that cost nothing to
 * guess. A rough judgement on at most 128 characters, good enough to refuse the obvious.
 */

/** Up to this many letters beside the guessable parts add too little to count. */
const MAX_LETTERS_THAT_ADD_LITTLE = 4;
const SHORTEST_RUN = 3;

const WALKS = [
  'abcdefghijklmnopqrstuvwxyzabc',
  '01234567890123',
  'qwertyuiopasdfghjklzxcvbnm',
  'qwertzuiopasdfghjklyxcvbnm',
  'azertyuiopqsdfghjklmwxcvbn',
  '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p',
  'qazwsxedcrfvtgbyhnujmikolp',
  '1q2w3e4r5t6y7u8i9o0p',
  'q1w2e3r4t5y6u7i8o9p0',
  'a1s2d3f4g5h6j7k8l9',
  'qawsedrftgyhujikolp',
  'asdfghjkl',
  'zxcvbnm',
];
const RUNS = [...WALKS, ...WALKS.map(reversed)].join('\n');

/** A password without case, and what its characters may stand for, character by character. */
export interface Reading {
  readonly written: string;
  readonly meant: string;
}

const LETTER_FOR_SIGN = new Map(
  Object.entries({ 0: 'o', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i', '|': 'l', '+': 't' }),
);

/** The password as written, and with digits and signs read as the letters they resemble; `1` may be an i or an l. */
export function readings(password: string): readonly Reading[] {
  const written = password.normalize('NFKC').toLowerCase();
  const letters = written.replaceAll(/[03457@$!|+]/g, (sign) => LETTER_FOR_SIGN.get(sign) ?? sign);
  const meanings = new Set([written, letters.replaceAll('1', 'i'), letters.replaceAll('1', 'l')]);
  return Array.from(meanings, (meant) => ({ written, meant }));
}

export function reversed(text: string): string {
  return Array.from(text).toReversed().join('');
}

/** What was written with every one of these words, in lower case, blanked wherever it is meant, the longest first. */
export function withoutWords({ written, meant }: Reading, words: Iterable<string>): string {
  const longestFirst = [...words].sort((a, b) => b.length - a.length);
  let [rest, unread] = [written, meant];
  for (const word of longestFirst) {
    const blank = ' '.repeat(word.length);
    for (let at = unread.indexOf(word); at >= 0; at = unread.indexOf(word, at + word.length)) {
      rest = rest.slice(0, at) + blank + rest.slice(at + word.length);
      unread = unread.slice(0, at) + blank + unread.slice(at + word.length);
    }
  }
  return rest;
}

/** Whether what is left, beside ASCII digits and signs and runs, is too little to make a password. */
export function addsLittle(rest: string): boolean {
  return (
    Array.from(withoutRuns(rest).replaceAll(/[^A-Za-z\u0080-\u{10ffff}]/gu, '')).length <= MAX_LETTERS_THAT_ADD_LITTLE
  );
}

/** Whether the text is nothing but a short piece said over and over, or runs along the alphabet, the digits, the keys. */
export function isRegular(text: string): boolean {
  const rest = withoutRuns(text);
  return (
    repeatsItself(text) || (rest !== text && Array.from(rest.replaceAll(' ', '')).length <= MAX_LETTERS_THAT_ADD_LITTLE)
  );
}

function repeatsItself(text: string): boolean {
  const characters = Array.from(text);
  for (let piece = 1; piece * 2 <= characters.length; piece++) {
    if (characters.every((character, at) => at < piece || character === characters[at - piece])) return true;
  }
  return false;
}

/** The text with each run of three or more (`aaa`, `abc`, `321`, `qwe`) replaced by a space. */
function withoutRuns(text: string): string {
  const characters = Array.from(text);
  let rest = '';
  for (let at = 0; at < characters.length;) {
    const length = runLength(characters.slice(at));
    rest += length >= SHORTEST_RUN ? ' ' : characters.slice(at, at + length).join('');
    at += length;
  }
  return rest;
}

/** The length of the run that the characters begin with; 1 when they begin with none. */
function runLength([first = '', ...others]: readonly string[]): number {
  let same = 1;
  while (others[same - 1] === first) same++;
  let walk = first;
  for (const next of others) {
    if (!RUNS.includes(walk + next)) break;
    walk += next;
  }
  return Math.max(same, walk.length >= SHORTEST_RUN ? walk.length : 1);
}
