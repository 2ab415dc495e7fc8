import { z } from 'zod';

/** What a person typed, or nothing: no NUL, no half of a surrogate pair, as Postgres can hold it. Lengths in UTF-16 units. */
export const typed = (longest: number): z.ZodString =>
  z
    .string()
    .max(longest)
    .refine((value) => value.isWellFormed() && !value.includes('\0'), 'contains a character that cannot be stored');

/** The same, and not nothing. */
export const text = (longest: number): z.ZodString => typed(longest).min(1);

/** A sentence that a person gave, without the blanks around it; blanks alone are none. */
export const sentence = (longest: number): z.ZodType<string, string> =>
  text(longest)
    .transform((value) => value.trim())
    .refine((value) => value !== '', 'is empty');

/** A username that somebody logs in with: 1 to 254 characters, no white space, no control characters. The database checks the same. */
export const usernameText = text(254).regex(/^[^\s\p{Cc}]+$/u, 'must have no spaces');

/** A rule for people: what {@link newUsername} takes. */
export const USERNAME_RULE = 'A username has 1 to 254 characters, no spaces and no invisible characters.';

/**
 * A username that somebody is given: one that looks like no other because of what cannot be seen. Nothing that shows no glyph or turns the
 * direction of writing, nothing unassigned, composed in one way (NFC). After RFC 8265 section 3.3 (UsernameCaseMapped) and RFC 8264 section
 * 9; case stays as it was typed, and is not told apart. Names from before this rule still log in.
 */
export const newUsername = usernameText
  .regex(/^[^\p{C}\p{DI}]+$/u, 'must have no invisible characters')
  .refine((name) => name === name.normalize('NFC'), 'must be composed (Unicode NFC)');

/** A time in an answer: ISO 8601 in UTC. */
export const instantText = z.iso.datetime();
