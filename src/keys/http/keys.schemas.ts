import { z } from 'zod';
import { instantText, sentence } from '../../common/text.js';
import { ALGORITHMS } from '../../config/settings.js';
import { readAssignment } from '../../config/load-config.js';
import { parseHorizon } from '../planning/horizon.js';
import type { KeyView } from './key-view.js';
import type { Receipt } from './receipt.js';

const reason = sentence(500);

const horizon = z.string().transform((value, context) => {
  const milliseconds = parseHorizon(value);
  if (milliseconds !== undefined) return milliseconds;
  context.addIssue({ code: 'custom', message: 'must be a length of time such as 90d, 6mo or 1y, at most 10y' });
  return z.NEVER;
});

/** `POST /keys/rotate` */
export const rotateBody = z
  .strictObject({
    fromVersion: z.int().positive().optional().describe('Refused unless this version signs: makes it safe to repeat.'),
    reason: reason.optional(),
    force: z.boolean().optional().describe('Even where caches may not know the next key yet.'),
  })
  .meta({ example: { fromVersion: 1, reason: 'quarterly', force: true } });

/** `POST /keys/replace-standby` */
export const replaceStandbyBody = z
  .strictObject({ algorithm: z.enum(ALGORITHMS).optional(), reason: reason.optional() })
  .meta({ example: { algorithm: 'ES256', reason: 'smaller tokens' } });

/** `POST /keys/renew` */
export const renewBody = z
  .strictObject({ reason: reason.optional() })
  .meta({ example: { reason: 'a client has pinned the pair' } });

const assignment = z
  .string()
  .max(1_000)
  .refine((text) => readAssignment(text) !== undefined, 'must be NAME=value with a setting of docs/configuration.md');

/** `GET /keys/plan`: how far to look, such as `6mo`, `90d`; and settings to try out. */
export const planQuery = z.strictObject({
  for: horizon.default(365 * 86_400_000).describe('How far to look: `90d`, `26w`, `6mo`, `1y`.'),
  set: z
    .union([assignment, z.array(assignment).max(50)])
    .optional()
    .describe('As if this setting were changed; may be given again.')
    .meta({ example: 'KEY_ROTATION_INTERVAL=7d' }),
});

/** `POST /keys/:kid/revoke` */
export const revokeBody = z.strictObject({ reason }).meta({ example: { reason: 'laptop with a backup was stolen' } });

/** A `kid` in a path. */
export const kidParam = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

const kid = z.string();

/** A signing key, as administrators see it. */
export const keyView: z.ZodType<KeyView> = z
  .strictObject({
    version: z.int(),
    kid,
    algorithm: z.string(),
    state: z.enum(['pending', 'active', 'retiring', 'expired', 'revoked']),
    origin: z.enum(['generated', 'imported', 'renewed']),
    activation: z.string().nullable().describe('How it came to sign.'),
    publishedAt: instantText,
    activatesAt: instantText,
    retiresAt: instantText.nullable().describe('When it stops to sign.'),
    expiresAt: instantText.nullable().describe('When its tokens stop to be good.'),
    revokedAt: instantText.nullable(),
    revocationReason: z.string().nullable(),
    privateKeyDestroyedAt: instantText.nullable(),
  })
  .meta({ id: 'Key' });

/** `GET /keys` */
export const keyList = z.strictObject({ keys: z.array(keyView) });

/** `GET /keys/plan` */
export const keyPlan = z.strictObject({
  events: z.array(
    z.strictObject({
      at: instantText,
      event: z.enum(['published', 'takes over', 'expires']),
      version: z.int(),
      kid: kid.describe('With question marks where the key does not exist yet.'),
    }),
  ),
});

/** `POST /keys/rotate` */
export const rotated = z.strictObject({
  retired: kid.nullable(),
  activated: kid,
  forced: z.boolean(),
  at: instantText,
});

/** `POST /keys/replace-standby`, `POST /keys/renew` */
export const replaced = z
  .strictObject({ displaced: kid.nullable(), standby: kid, takesOverAt: instantText })
  .meta({ id: 'Replacement' });

/** `POST /keys/:kid/revoke` */
export const receipt: z.ZodType<Receipt> = z
  .strictObject({
    revoked: kid,
    signer: kid
      .nullable()
      .describe('The key that signs now; null: none, until a running server makes one, or opens the one that waits.'),
    shutStandby: kid
      .nullable()
      .describe('The standby that did not take over although nothing signs, since no running server opens it.'),
    at: instantText,
    replicas: z.strictObject({
      live: z
        .int()
        .describe('Servers that verify, or may: heard of within `KEY_OFFLINE_LIMIT`, and not shut down since.'),
      following: z.int().describe('Those that were seen to refuse the key.'),
      afterMilliseconds: z.number(),
      silent: z
        .array(z.strictObject({ id: z.string(), verifiesAtMostUntil: instantText }))
        .describe('The others: cut off from the database, or killed. If one runs, it may verify until then at most.'),
    }),
    outsideCachesBy: instantText.describe('By then no cache that honours `max-age` shows the key any more.'),
  })
  .meta({ id: 'Receipt' });

const publicMember = z.string().regex(/^[\w-]+$/);

/** RFC 7517: public halves and nothing else. */
export const keySet = z
  .strictObject({
    keys: z.array(
      z.strictObject({
        kid,
        kty: z.enum(['RSA', 'EC']),
        alg: z.enum(ALGORITHMS),
        use: z.literal('sig'),
        n: publicMember.optional(),
        e: publicMember.optional(),
        crv: z.string().optional(),
        x: publicMember.optional(),
        y: publicMember.optional(),
      }),
    ),
  })
  .meta({ id: 'KeySet' });
