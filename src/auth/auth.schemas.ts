import { z } from 'zod';

const username = z.string().min(1).max(254);
/** Any text: the policy judges new passwords; old ones are only compared. */
const password = z.string().min(1).max(1_024);

/** `POST /auth/login` */
export const loginBody = z.strictObject({ username, password });

/** `POST /auth/refresh` */
export const refreshBody = z.strictObject({ refresh_token: z.string().min(1).max(512) });

/** `POST /auth/redeem`: `username` only with a set-up code. */
export const redeemBody = z.strictObject({ code: z.string().min(1).max(256), username: username.optional(), password });
