import { z } from 'zod';
import { text, usernameText } from '../common/text.js';

/** Any text: the policy judges new passwords; old ones are only compared. */
const password = text(1_024);

/** `POST /auth/login` */
export const loginBody = z.strictObject({ username: usernameText, password });

/** `POST /auth/refresh` */
export const refreshBody = z.strictObject({ refresh_token: text(512) });

/** `POST /auth/redeem`: `username` only with a set-up code. */
export const redeemBody = z.strictObject({ code: text(256), username: usernameText.optional(), password });
