import { z } from 'zod';
import { text, usernameText } from '../../common/text.js';
import { roleName, roleNames } from '../../users/roles.js';
import { cursorText } from '../../users/user-cursor.js';
import { STANDINGS } from '../../users/user-view.js';
import { password } from '../auth.schemas.js';

const reason = text(500).optional();

/** `GET /users` */
export const usersQuery = z.strictObject({
  q: text(254).optional(),
  role: roleName.optional(),
  standing: z.enum(STANDINGS).optional(),
  after: cursorText.optional(),
  limit: z
    .string()
    .regex(/^([1-9]\d?|1\d\d|200)$/, 'must be a whole number from 1 to 200')
    .default('50')
    .transform(Number),
});

/** `POST /users`: without a password the user is invited. */
export const newUserBody = z.strictObject({
  username: usernameText,
  roles: roleNames.default([]),
  password: password.optional(),
  reason,
});

/** `PATCH /users/:id` */
export const alteredUserBody = z
  .strictObject({ username: usernameText.optional(), roles: roleNames.optional(), reason })
  .refine(({ username, roles }) => username !== undefined || roles !== undefined, 'changes neither username nor roles');

/** Acts that need no more than a reason, and not even that. */
export const reasonBody = z
  .strictObject({ reason })
  .nullish()
  .transform((body) => body ?? {});
