import { isCommonPassword } from './common-passwords.js';
import { addsLittle, isRegular, readings, withoutWords } from './guessable-parts.js';

/** NIST SP 800-63B-4 §3.1.1.2, for a password that is the only factor. */
const MIN_CHARACTERS = 15;
/** Our own bound; NIST asks for at least 64. */
const MAX_CHARACTERS = 128;
/** Parts of a user name shorter than this (`de`, `j`) say nothing about where a password comes from. */
const SHORTEST_OWN_WORD = 3;
const PRODUCT_WORDS = ['keyturn'];

export interface PasswordContext {
  readonly username?: string;
  /** Names of the product, the company, the service. */
  readonly productWords?: readonly string[];
}

/**
 * What speaks against this password, as sentences for the person who chose it; nothing when it is fine. Length and
 * guessability only: no composition rules, any Unicode but control characters (NIST SP 800-63B-4 §3.1.1.2, ASVS 6.2).
 */
export function checkPassword(password: string, context: PasswordContext): readonly string[] {
  // UTF-8 has no form for half a surrogate pair, so two such passwords would hash alike.
  if (/\p{Surrogate}/u.test(password)) return ['The password contains a damaged character. Please type it again.'];

  // Other devices cannot type them, and a NUL nobody can log in with (RFC 8265 section 4.2.1: no control characters).
  if (/\p{Cc}/u.test(password))
    return ['The password contains a control character, such as a tab. Please leave it out.'];

  const composed = password.normalize('NFC'); // as it will be hashed
  const characters = Array.from(composed).length;
  if (characters > MAX_CHARACTERS) {
    return [`The password may have at most ${MAX_CHARACTERS} characters; this one has ${characters}.`];
  }

  const problems: string[] = [];
  if (characters < MIN_CHARACTERS) {
    problems.push(
      `The password needs at least ${MIN_CHARACTERS} characters; this one has ${characters}. Several unrelated words do well.`,
    );
  }
  if (isRegular(composed.toLowerCase())) {
    problems.push('The password only repeats itself or runs along the alphabet, the digits or the keyboard.');
  }
  if (isCommonPassword(composed)) {
    problems.push('The password is a common one, or little more than common words.');
  }
  if (isMadeOfOwnWords(composed, ownWords(context))) {
    problems.push('The password is little more than your user name or the name of this service.');
  }
  return problems;
}

function isMadeOfOwnWords(password: string, words: ReadonlySet<string>): boolean {
  return readings(password).some((reading) => {
    const rest = withoutWords(reading, words);
    return rest !== reading.written && (addsLittle(rest) || isCommonPassword(rest));
  });
}

/** The user name and the product's words, whole and in parts: `anna.berg7@example.com` gives `anna`, `berg`, `berg7` … */
function ownWords({ username = '', productWords = PRODUCT_WORDS }: PasswordContext): ReadonlySet<string> {
  const wholes = [username, ...productWords].map((word) => word.normalize('NFKC').toLowerCase());
  const parts = wholes.flatMap((word) => [
    ...(word.match(/[\p{L}\p{M}\p{N}]+/gu) ?? []),
    ...(word.match(/[\p{L}\p{M}]+/gu) ?? []),
  ]);
  return new Set([...wholes, ...parts].filter((word) => word.length >= SHORTEST_OWN_WORD));
}
