import { createRequire } from 'node:module';
import { z } from 'zod';
import { addsLittle, readings, reversed, withoutWords, type Reading } from './guessable-parts.js';

/** So many of the list's first, where they are words, are what most other common passwords are stretched from. */
const MOST_COMMON = 500;
/** A shorter word is part of many others. */
const SHORTEST_BASE = 5;
/** Fewer letters in a row say nothing. */
const SHORTEST_CORE = 4;
/** How many digits and signs beside its letters an entry of the list may have on either side, such as those of `abc123`. */
const WIDEST_EDGE = 6;

/** What people choose at work, and phrases that everybody knows. */
const AT_WORK = `
  passwort admin administrator login changeme default root guest user test service system server database company business
  office manager enterprise love spring autumn january february monday friday world google facebook windows android oracle
  postgres opensesame correcthorsebatterystaple thisismypassword iloveyousomuch letmeinplease idontknow thequickbrownfox
  trustnoone perasperaadastra thirtysecondstomars
`;

const moduleSchema = z.object({ dictionary: z.object({ 'passwords-common': z.array(z.string()) }) });

interface CommonPasswords {
  readonly all: ReadonlySet<string>;
  readonly bases: readonly string[];
}
let loaded: CommonPasswords | undefined;

/** The 49,000 of @zxcvbn-ts/language-common (MIT), most common first, in lower case. A few MB: loaded when first a password is chosen. */
function commonPasswords(): CommonPasswords {
  if (loaded) return loaded;
  const { dictionary } = moduleSchema.parse(createRequire(import.meta.url)('@zxcvbn-ts/language-common'));
  const list = dictionary['passwords-common'];
  const words = list.slice(0, MOST_COMMON).filter((word) => word.length >= SHORTEST_BASE && /^[a-z]+$/.test(word));
  return (loaded = { all: new Set(list), bases: [...words, ...AT_WORK.trim().split(/\s+/)] });
}

/**
 * Whether a password is a common one or is stretched from common ones: repeated, reversed, joined, written with digits for letters, or
 * filled up with digits, signs, runs and a few letters.
 */
export function isCommonPassword(password: string): boolean {
  const { all, bases } = commonPasswords();
  return readings(password)
    .flatMap((reading) => [reading, { written: reversed(reading.written), meant: reversed(reading.meant) }])
    .some((reading) => {
      if (all.has(reading.written) || isPadded(reading, all)) return true;
      const rest = withoutWords(reading, bases);
      return rest !== reading.written && addsLittle(rest);
    });
}

/** Is it an entry of the list, or one said several times, within nothing but ASCII digits, signs and blanks? */
function isPadded(reading: Reading, all: ReadonlySet<string>): boolean {
  const { written, meant } = withoutSeparators(reading);
  // What is padding is seen as it is written: a year is no letters.
  const [, before = '', core = ''] = /^([^a-z\u0080-\u{10ffff}]*)(.*[a-z\u0080-\u{10ffff}])?/su.exec(written) ?? [];
  if (core.length < SHORTEST_CORE) return false;
  const [start, end] = [before.length, before.length + core.length];
  for (let from = start; from >= Math.max(0, start - WIDEST_EDGE); from--) {
    for (let to = end; to <= Math.min(written.length, end + WIDEST_EDGE); to++) {
      if (all.has(unitOf(written.slice(from, to))) || all.has(unitOf(meant.slice(from, to)))) return true;
    }
  }
  return false;
}

function withoutSeparators({ written, meant }: Reading): Reading {
  const kept = (_: string, at: number): boolean => !/[\s_.-]/.test(written.charAt(at));
  return { written: written.split('').filter(kept).join(''), meant: meant.split('').filter(kept).join('') };
}

/** The piece that the text is made of by saying it several times; the text itself when there is none. */
function unitOf(text: string): string {
  const length = (text + text).indexOf(text, 1);
  return text.slice(0, length);
}
