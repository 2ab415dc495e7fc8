import { FRESH_LOGIN, PUBLIC, ROLES } from './access.js';

/** Who may call a route. */
export interface RouteAccess {
  readonly open: boolean;
  /** One of these roles; undefined: any logged-in user. */
  readonly wanted: readonly string[] | undefined;
  readonly freshLogin: boolean;
}

/**
 * What the decorators of a route say. The narrower place wins: a handler opens itself, and a handler that asks for a role or a fresh login
 * is guarded even where its controller is open.
 */
export function accessTo(controller: object, handler: object): RouteAccess {
  const own = said(handler);
  const all = said(controller);
  return {
    open: own.open || (all.open && own.wanted === undefined && !own.freshLogin),
    wanted: own.wanted ?? all.wanted,
    freshLogin: own.freshLogin || all.freshLogin,
  };
}

/** Why this handler or controller contradicts itself; undefined when it does not. */
export function contradictionOf(target: object): string | undefined {
  const { open, wanted, freshLogin } = said(target);
  if (!open || (wanted === undefined && !freshLogin)) return undefined;
  return `@Public() and ${wanted === undefined ? '@FreshLogin()' : '@Roles()'}`;
}

function said(target: object): RouteAccess {
  const roles: unknown = Reflect.getMetadata(ROLES, target);
  return {
    open: Reflect.getMetadata(PUBLIC, target) === true,
    wanted: Array.isArray(roles) ? roles.map(String) : undefined,
    freshLogin: Reflect.getMetadata(FRESH_LOGIN, target) === true,
  };
}
