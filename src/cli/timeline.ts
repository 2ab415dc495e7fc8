import { stateOf, type SigningKey } from '../keys/signing-key.js';

const BLOCKS = { published: '░', signs: '█', verifies: '▒', nothing: ' ', now: '│' };
const PLAIN = { published: '.', signs: '#', verifies: '-', nothing: ' ', now: '|' };
const COLUMNS = 60;

/** Can this terminal draw blocks? UTF-8 is wanted, and something better than a dumb one. */
export const canDraw = (environment: Readonly<Record<string, string | undefined>>): boolean =>
  environment['TERM'] !== 'dumb' &&
  /utf-?8/i.test(environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '');

/** `2026-12-23` */
const day = (instant: number): string => new Date(instant).toISOString().slice(0, 10);

/** One bar a key over time: published, signs, verifies; a line where now is. */
export function timeline(keys: readonly SigningKey[], now: number, from: number, until: number, draw: boolean): string {
  const marks = draw ? BLOCKS : PLAIN;
  const step = (until - from) / COLUMNS;
  const nowColumn = Math.floor((now - from) / step);
  const width = Math.max(3, ...keys.map((key) => key.kid.length));
  const bar = (key: SigningKey): string =>
    Array.from({ length: COLUMNS }, (_, column) => {
      if (column === nowColumn) return marks.now;
      return marks[phaseAt(key, from + (column + 0.5) * step)];
    }).join('');
  const scale = `${' '.repeat(width)}  ${day(from)}${day(until).padStart(COLUMNS - 10)}`;
  const legend = `${' '.repeat(width)}  ${marks.published} published  ${marks.signs} signs  ${marks.verifies} verifies  ${marks.now} now`;
  return [scale, ...keys.map((key) => `${key.kid.padEnd(width)}  ${bar(key)}`), legend].join('\n');
}

function phaseAt(key: SigningKey, at: number): 'published' | 'signs' | 'verifies' | 'nothing' {
  if (at < key.publishedAt) return 'nothing';
  const state = stateOf(key, at);
  if (state === 'pending') return 'published';
  if (state === 'active') return 'signs';
  return state === 'retiring' ? 'verifies' : 'nothing';
}
