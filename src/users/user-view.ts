/**
 * `active`: may log in. `invited`: has never had a password. `reset`: the password was taken away and none has been set since.
 * `disabled`: may not log in, whatever else.
 */
export const STANDINGS = ['active', 'invited', 'reset', 'disabled'] as const;
export type Standing = (typeof STANDINGS)[number];

/** A user as administrators see one, by HTTP and with `--json`. Times are ISO 8601 in UTC. */
export interface UserView {
  readonly id: string;
  readonly username: string;
  readonly roles: readonly string[];
  readonly standing: Standing;
  readonly createdAt: string;
  readonly disabledAt: string | null;
  readonly resetAt: string | null;
  readonly passwordChangedAt: string | null;
}

/** The columns that {@link viewUser} reads, of `keyturn.users u`. */
export const USER_VIEW_COLUMNS = `
  u.id, u.username, u.roles, u.created_at, u.disabled_at, u.reset_at, u.password_changed_at,
  CASE WHEN u.disabled_at IS NOT NULL THEN 'disabled'
       WHEN u.password_hash IS NOT NULL THEN 'active'
       WHEN u.reset_at IS NOT NULL THEN 'reset'
       ELSE 'invited' END AS standing`;

export interface UserViewRow {
  readonly id: string;
  readonly username: string;
  readonly roles: string[];
  readonly standing: Standing;
  readonly created_at: Date;
  readonly disabled_at: Date | null;
  readonly reset_at: Date | null;
  readonly password_changed_at: Date | null;
}

export const viewUser = (row: UserViewRow): UserView => ({
  id: row.id,
  username: row.username,
  roles: row.roles,
  standing: row.standing,
  createdAt: row.created_at.toISOString(),
  disabledAt: row.disabled_at?.toISOString() ?? null,
  resetAt: row.reset_at?.toISOString() ?? null,
  passwordChangedAt: row.password_changed_at?.toISOString() ?? null,
});
