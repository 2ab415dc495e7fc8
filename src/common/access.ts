import { createParamDecorator, SetMetadata, type CustomDecorator, type ExecutionContext } from '@nestjs/common';

/** Who the guard says is asking. */
export interface AuthenticatedUser {
  readonly id: string;
  readonly username: string;
  readonly roles: readonly string[];
  readonly sessionId: string;
  readonly tokenId: string;
  /** When the person last proved who they are: seconds since 1970 (claim auth_time). */
  readonly authenticatedAt: number;
  /** When the token expires: seconds since 1970. */
  readonly expiresAt: number;
}

export const PUBLIC = Symbol('keyturn.public');
export const ROLES = Symbol('keyturn.roles');
export const FRESH_LOGIN = Symbol('keyturn.fresh-login');

/** This route, or every route of this controller, is open. Everything else is guarded. */
export const Public = (): CustomDecorator<symbol> => SetMetadata(PUBLIC, true);

/** Only users who have one of these roles; others get 403 `insufficient_scope`. */
export const Roles = (...roles: readonly [string, ...string[]]): CustomDecorator<symbol> => SetMetadata(ROLES, roles);

/** Only within 15 minutes of a login; older sessions get 401 `fresh_login_required`. */
export const FreshLogin = (): CustomDecorator<symbol> => SetMetadata(FRESH_LOGIN, true);

/** The user that the guard let in. On a `@Public()` route there is none, and asking for it is a mistake that shows at once. */
export const CurrentUser = createParamDecorator((_: unknown, context: ExecutionContext): AuthenticatedUser => {
  const { user } = context.switchToHttp().getRequest<{ user?: AuthenticatedUser }>();
  if (!user) throw new Error('@CurrentUser() on a route that is @Public()');
  return user;
});
