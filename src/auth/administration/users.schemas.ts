import { z } from 'zod';
import { instantText, newUsername, text } from '../../common/text.js';
import { roleName, roleNames } from '../../users/roles.js';
import { cursorText } from '../../users/user-cursor.js';
import { STANDINGS, type UserView } from '../../users/user-view.js';
import type { UserPage } from '../../users/user-directory.js';
import { password } from '../auth.schemas.js';
import type { UserWithCode } from './user-administration.js';

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
export const newUserBody = z
  .strictObject({ username: newUsername, roles: roleNames.default([]), password: password.optional(), reason })
  .meta({ example: { username: 'bob@example.com', roles: ['hr'], reason: 'joins the payroll team' } });

/** `PATCH /users/:id` */
export const alteredUserBody = z
  .strictObject({ username: newUsername.optional(), roles: roleNames.optional(), reason })
  .refine(({ username, roles }) => username !== undefined || roles !== undefined, 'changes neither username nor roles')
  .meta({ example: { roles: ['hr', 'auditor'], reason: 'audits the keys from now on' } });

/** `DELETE` has no body (RFC 9110, section 9.3.5): its reason is asked with. */
export const reasonQuery = z.strictObject({ reason });

/** Acts that need no more than a reason, and not even that. */
export const reasonBody = z
  .strictObject({ reason })
  .meta({ example: { reason: 'as the ticket says' } })
  .nullish()
  .transform((body) => body ?? {});

/** A user, as administrators see one. */
export const userView: z.ZodType<UserView> = z
  .strictObject({
    id: z.guid(),
    username: z.string(),
    roles: z.array(z.string()),
    standing: z.enum(STANDINGS),
    createdAt: instantText,
    disabledAt: instantText.nullable(),
    resetAt: instantText.nullable(),
    passwordChangedAt: instantText.nullable(),
  })
  .meta({ id: 'User' });

/** `GET /users`: `next` is the `after` of the page that follows. */
export const userPage: z.ZodType<UserPage> = z
  .strictObject({ users: z.array(userView), next: z.string().nullable() })
  .meta({ id: 'UserPage' });

/** A user who has to choose a password, and the code to hand to them. */
export const userWithCode: z.ZodType<UserWithCode> = z
  .strictObject({
    user: userView,
    code: z.string().describe('Seen this once.'),
    redeemUrl: z.url().describe('The page that takes the code.'),
    codeExpiresAt: instantText,
  })
  .meta({ id: 'UserWithCode' });

/** `POST /users`: with a code, unless it brought a password. */
export const newUser = z.union([userWithCode, z.strictObject({ user: userView })]);
