import { z } from 'zod';
import { text, usernameText } from '../common/text.js';

/** Any text: the policy judges new passwords; old ones are only compared. */
export const password = text(1_024);

/** An id in a path, as the database writes it. */
export const idParam = z.guid().transform((id) => id.toLowerCase());

/** `POST /auth/login` */
export const loginBody = z.strictObject({ username: usernameText, password });

/** `POST /auth/refresh` */
export const refreshBody = z.strictObject({ refresh_token: text(512) });

/** `POST /auth/redeem`: `username` only with a set-up code. */
export const redeemBody = z.strictObject({ code: text(256), username: usernameText.optional(), password });

/** `POST /auth/password` */
export const newPasswordBody = z.strictObject({ currentPassword: password, newPassword: password });
