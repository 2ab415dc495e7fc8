import { z } from 'zod';
import { text } from '../common/text.js';

const reason = text(500);

/** `POST /keys/rotate` */
export const rotateBody = z.strictObject({
  fromVersion: z.int().positive().optional(),
  reason: reason.optional(),
  force: z.boolean().optional(),
});

/** `POST /keys/:kid/revoke` */
export const revokeBody = z.strictObject({ reason });

/** A `kid` in a path. */
export const kidParam = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
