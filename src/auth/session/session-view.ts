/** A session as people see it. Times are ISO 8601 in UTC. */
export interface SessionView {
  readonly id: string;
  /** What the client called itself at login. */
  readonly device: string | null;
  /** Where the login came from. */
  readonly address: string | null;
  readonly createdAt: string;
  /** When it was last refreshed: within the life of an access token of its last use. */
  readonly lastUsedAt: string;
  /** When it ends unless it is used before. */
  readonly expiresAt: string;
}

export interface SessionViewRow {
  readonly id: string;
  readonly user_agent: string | null;
  readonly address: string | null;
  readonly created_at: Date;
  readonly refreshed_at: Date;
  readonly expires_at: Date;
}

export const viewSession = (row: SessionViewRow): SessionView => ({
  id: row.id,
  device: row.user_agent,
  address: row.address,
  createdAt: row.created_at.toISOString(),
  lastUsedAt: row.refreshed_at.toISOString(),
  expiresAt: row.expires_at.toISOString(),
});
