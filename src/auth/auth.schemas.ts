import { z } from 'zod';
import type { AuthenticatedUser } from '../common/access.js';
import { newUsername, text, usernameText } from '../common/text.js';
import type { TokenPair } from './auth.service.js';

/** Any text: the policy judges new passwords; old ones are only compared. */
export const password = text(1_024);

/** An id in a path, as the database writes it. */
export const idParam = z.guid().transform((id) => id.toLowerCase());

/** `POST /auth/login` */
export const loginBody = z
  .strictObject({ username: usernameText, password })
  .meta({ example: { username: 'anna@example.com', password: 'seven lanterns over quiet water' } });

/** `POST /auth/refresh` */
export const refreshBody = z
  .strictObject({ refresh_token: text(512) })
  .meta({ example: { refresh_token: '<refresh_token>' } });

/** `POST /auth/redeem`: `username` only with a set-up code. */
export const redeemBody = z
  .strictObject({ code: text(256), username: newUsername.optional(), password })
  .meta({ example: { code: '<code>', password: 'eleven kettles under a green roof' } });

/** `POST /auth/password` */
export const newPasswordBody = z.strictObject({ currentPassword: password, newPassword: password }).meta({
  example: {
    currentPassword: 'seven lanterns over quiet water',
    newPassword: 'eleven kettles under a green roof',
  },
});

/** Where nothing has to be said: no body, or an empty object. */
export const noBody = z.strictObject({}).nullish();

/** What a login and a refresh answer (RFC 6749 section 5.1). */
export const tokenPair: z.ZodType<TokenPair> = z
  .strictObject({
    access_token: z.string().describe('RFC 9068. Good for `expires_in` seconds; sent as `Authorization: Bearer`.'),
    token_type: z.literal('Bearer'),
    expires_in: z.int().positive(),
    refresh_token: z.string().describe('Good once, for `refresh_expires_in` seconds.'),
    refresh_expires_in: z.int().nonnegative(),
  })
  .meta({ id: 'TokenPair' });

/** What a login in cookies answers: how long its tokens live. */
export const lifetimes = z
  .strictObject({ expires_in: z.int().positive(), refresh_expires_in: z.int().nonnegative() })
  .meta({ id: 'Lifetimes' });

/** `GET /auth/me` */
export const authenticatedUser: z.ZodType<AuthenticatedUser> = z
  .strictObject({
    id: z.guid(),
    username: z.string(),
    roles: z.array(z.string()),
    sessionId: z.guid(),
    tokenId: z.string(),
    authenticatedAt: z.int().describe('The last login with a password: seconds since 1970.'),
    expiresAt: z.int().describe('The end of the access token: seconds since 1970.'),
  })
  .meta({ id: 'AuthenticatedUser' });

/** RFC 8414 */
export const serverMetadata = z
  .strictObject({
    issuer: z.url(),
    jwks_uri: z.url(),
    response_types_supported: z.array(z.string()),
    grant_types_supported: z.array(z.string()),
    service_documentation: z.url(),
    access_token_signing_alg_values_supported: z.array(z.string()),
  })
  .meta({ id: 'ServerMetadata' });
