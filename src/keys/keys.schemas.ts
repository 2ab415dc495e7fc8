import { z } from 'zod';
import { sentence } from '../common/text.js';
import { ALGORITHMS } from '../config/settings.js';
import { parseHorizon } from './horizon.js';

const reason = sentence(500);

const horizon = z.string().transform((value, context) => {
  const milliseconds = parseHorizon(value);
  if (milliseconds !== undefined) return milliseconds;
  context.addIssue({ code: 'custom', message: 'must be a length of time such as 90d, 6mo or 1y, at most 10y' });
  return z.NEVER;
});

/** `POST /keys/rotate` */
export const rotateBody = z.strictObject({
  fromVersion: z.int().positive().optional(),
  reason: reason.optional(),
  force: z.boolean().optional(),
});

/** `POST /keys/replace-standby` */
export const replaceStandbyBody = z.strictObject({
  algorithm: z.enum(ALGORITHMS).optional(),
  reason: reason.optional(),
});

/** `POST /keys/renew` */
export const renewBody = z.strictObject({ reason: reason.optional() });

/** `GET /keys/plan`: how far to look, such as `6mo`, `90d`. */
export const planQuery = z.strictObject({ for: horizon.default(365 * 86_400_000) });

/** `POST /keys/:kid/revoke` */
export const revokeBody = z.strictObject({ reason });

/** A `kid` in a path. */
export const kidParam = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
