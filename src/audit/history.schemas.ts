import { z } from 'zod';
import { instantText } from '../common/text.js';
import type { HistoryVerdict, KeyEvent, SignedHead } from './history-store.js';

const whole = (smallest: number, largest: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(smallest).max(largest));

/** `GET /keys/history`: events after `after` (a seq), at most `limit` of them. */
export const historyQuery = z.strictObject({
  after: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  limit: whole(1, 500).optional(),
});

const keyEvent: z.ZodType<KeyEvent> = z
  .strictObject({
    seq: z.int(),
    at: instantText,
    version: z.int(),
    kid: z.string(),
    event: z.string(),
    what: z.string().describe('In words.'),
    who: z.string(),
    reason: z.string().nullable(),
    requestId: z.string().nullable(),
  })
  .meta({ id: 'KeyEvent' });

/** `GET /keys/history`: `next` is the `after` of the next page. */
export const keyEvents = z.strictObject({ events: z.array(keyEvent), next: z.int().nullable() });

const head = { seq: z.int(), hash: z.string().describe('SHA-256, hexadecimal: stands for every row up to it.') };

/** `GET /history/verify` */
export const historyVerdict: z.ZodType<HistoryVerdict> = z
  .strictObject({
    ok: z.boolean(),
    checked: z.strictObject({ events: z.int(), keys: z.int(), users: z.int(), checkpoints: z.int() }),
    head: z.strictObject(head).nullable(),
    problem: z.string().nullable().describe('In words; null when all fits.'),
    seq: z.int().nullable(),
    version: z.int().nullable(),
    userId: z.guid().nullable(),
  })
  .meta({ id: 'HistoryVerdict' });

/** `GET /history/checkpoint` */
export const signedHead: z.ZodType<SignedHead> = z
  .strictObject({
    ...head,
    signedAt: instantText,
    signedBy: z.string().describe('kid of the key that signed.'),
    jws: z.string().describe('The same, as a compact JWS of type checkpoint+jwt.'),
  })
  .meta({ id: 'SignedHead' });
