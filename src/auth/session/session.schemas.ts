import { z } from 'zod';
import { instantText } from '../../common/text.js';

const session = z.strictObject({
  id: z.guid(),
  device: z.string().nullable().describe('What the client called itself at login.'),
  address: z.string().nullable().describe('Where the login came from.'),
  createdAt: instantText,
  lastUsedAt: instantText.describe('When it was last refreshed.'),
  expiresAt: instantText.describe('When it ends unless it is used before.'),
});

/** `GET /users/:id/sessions` */
export const sessionList = z.strictObject({ sessions: z.array(session.meta({ id: 'Session' })) });

/** `GET /auth/sessions` */
export const ownSessions = z.strictObject({
  sessions: z.array(session.extend({ current: z.boolean().describe('The one that asks.') }).meta({ id: 'OwnSession' })),
});
