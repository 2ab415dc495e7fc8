import { z } from 'zod';

/** Text that a person gave and Postgres can hold: no NUL, no half of a surrogate pair. Lengths in UTF-16 units. */
export const text = (longest: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(longest)
    .refine((value) => value.isWellFormed() && !value.includes('\0'), 'contains a character that cannot be stored');

/** A sentence that a person gave, without the blanks around it; blanks alone are none. */
export const sentence = (longest: number): z.ZodType<string, string> =>
  text(longest)
    .transform((value) => value.trim())
    .refine((value) => value !== '', 'is empty');

/** A username: 1 to 254 characters, no white space, no control characters. The database checks the same. */
export const usernameText = text(254).regex(/^[^\s\p{Cc}]+$/u, 'must have no spaces');

/** A time in an answer: ISO 8601 in UTC. */
export const instantText = z.iso.datetime();
