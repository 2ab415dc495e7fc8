import { z } from 'zod';

/** A place in the list of users: just behind this one. Neither part ever changes, and neither is a person's name. */
export interface UserCursor {
  /** ISO 8601. */
  readonly createdAt: string;
  readonly id: string;
}

const parts = z.tuple([z.iso.datetime({ precision: 3 }), z.guid()]);

export const writeCursor = ({ createdAt, id }: UserCursor): string =>
  Buffer.from(`${createdAt} ${id}`).toString('base64url');

/** The text of a cursor, read. Only what {@link writeCursor} wrote. */
export const cursorText = z
  .string()
  .max(128)
  .transform((text, context): UserCursor => {
    const { data } = parts.safeParse(Buffer.from(text, 'base64url').toString().split(' '));
    if (data) return { createdAt: data[0], id: data[1] };
    context.addIssue({ code: 'custom', message: 'is not the `next` of an earlier answer' });
    return z.NEVER;
  });
