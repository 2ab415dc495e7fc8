import { z } from 'zod';

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
