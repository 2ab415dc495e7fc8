import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What an auditor with psql asks of the keys and gets. */
export class AuditViews1795000004000 implements MigrationInterface {
  name = 'AuditViews1795000004000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(VIEWS);
    await db.query(`GRANT SELECT ON audit.key_history, audit.key_timeline TO keyturn_auditor, keyturn_app`);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP VIEW audit.key_timeline;
      DROP VIEW audit.key_history;
    `);
  }
}

const VIEWS = `
  CREATE VIEW audit.key_history AS
    SELECT
      log.seq,
      log.at,
      log.version,
      entry.kid,
      CASE log.event
        WHEN 'bootstrapped' THEN 'first key; signs from now on'
        WHEN 'published' THEN 'published; signs from ' || coalesce(to_char((entry.new ->> 'activates_at')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), '?')
        WHEN 'renewed' THEN 'the pair of version ' || (entry.new ->> 'renewed_from') || ' published again'
        WHEN 'imported' THEN 'imported' || CASE WHEN entry.new ->> 'signs' = 'false' THEN ', to verify only' ELSE '' END
        WHEN 'scheduled' THEN
          CASE WHEN entry.new ? 'activates_at' THEN 'takeover moved to ' || to_char((entry.new ->> 'activates_at')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
               WHEN entry.new ? 'retires_at' THEN coalesce('signs until ' || to_char((entry.new ->> 'retires_at')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), 'signs on until a successor is due')
               WHEN entry.new ? 'expires_at' THEN 'verifies until ' || coalesce(to_char((entry.new ->> 'expires_at')::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), 'some time after it stops to sign')
               ELSE 'changed' END
        WHEN 'taken_over_early' THEN 'took over early'
        WHEN 'taken_over_forced' THEN 'took over by force, before its lead was over'
        WHEN 'taken_over_by_emergency' THEN 'took over in an emergency'
        WHEN 'superseded' THEN 'superseded'
        WHEN 'revoked' THEN 'revoked'
        WHEN 'private_half_destroyed' THEN 'private half destroyed'
        WHEN 'resealed' THEN
          CASE WHEN entry.old ->> 'kek_id' = entry.new ->> 'kek_id' THEN 'sealed half replaced, under the same key-encryption key'
               ELSE 'sealed again under key-encryption key ' || (entry.new ->> 'kek_id') END
        ELSE log.event
      END AS what,
      coalesce(actor.username, 'user ' || log.actor, entry.database_user || ' (' || entry.application || ')') AS who,
      entry.reason,
      entry.request_id,
      entry.database_user,
      entry.client_address,
      entry.application,
      log.event
    FROM keyturn.audit_log log
    CROSS JOIN LATERAL (
      SELECT j ->> 'kid' AS kid, j ->> 'reason' AS reason, j ->> 'request_id' AS request_id, j ->> 'session_user' AS database_user,
        (j ->> 'client_addr')::inet AS client_address, j ->> 'application_name' AS application, j -> 'old' AS old, j -> 'new' AS new
      FROM (SELECT log.entry::jsonb AS j) parsed
    ) entry
    LEFT JOIN keyturn.users actor ON actor.id = log.actor
    WHERE log.version IS NOT NULL
    ORDER BY log.seq;
  COMMENT ON VIEW audit.key_history IS 'What has happened to our keys? One line an event, oldest first.';
  COMMENT ON COLUMN audit.key_history.seq IS 'Place in the chain.';
  COMMENT ON COLUMN audit.key_history.at IS 'When.';
  COMMENT ON COLUMN audit.key_history.version IS 'Which key: its version.';
  COMMENT ON COLUMN audit.key_history.kid IS 'Which key: its kid.';
  COMMENT ON COLUMN audit.key_history.what IS 'What happened, in words.';
  COMMENT ON COLUMN audit.key_history.who IS 'The user who did it, as the application claims; without one, the database user and application.';
  COMMENT ON COLUMN audit.key_history.reason IS 'Why, as given.';
  COMMENT ON COLUMN audit.key_history.request_id IS 'The request that asked for it, to find it in the server''s log.';
  COMMENT ON COLUMN audit.key_history.database_user IS 'The database user whose session it was, as Postgres knew it, not as anybody claims.';
  COMMENT ON COLUMN audit.key_history.client_address IS 'From where that session was connected.';
  COMMENT ON COLUMN audit.key_history.application IS 'What that session called itself.';
  COMMENT ON COLUMN audit.key_history.event IS 'The event''s stable name.';

  CREATE VIEW audit.key_timeline AS
    SELECT
      k.version,
      k.kid,
      k.algorithm,
      keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, keyturn.clock()) AS state,
      k.published_at,
      CASE WHEN k.signs AND k.retires_at IS DISTINCT FROM k.activates_at THEN k.activates_at END AS active_from,
      CASE WHEN k.signs AND k.retires_at IS DISTINCT FROM k.activates_at THEN k.retires_at END AS active_to,
      coalesce(least(k.revoked_at, k.expires_at), k.expires_at) AS verifies_until,
      k.origin,
      k.activation,
      k.revoked_at,
      k.revocation_reason,
      published.who AS published_by,
      revoked.who AS revoked_by,
      k.private_key_destroyed_at
    FROM keyturn.signing_keys k
    LEFT JOIN LATERAL (
      SELECT h.who FROM audit.key_history h WHERE h.version = k.version ORDER BY h.seq LIMIT 1
    ) published ON true
    LEFT JOIN LATERAL (
      SELECT h.who FROM audit.key_history h
      WHERE h.version = k.version AND h.event IN ('revoked', 'superseded') ORDER BY h.seq LIMIT 1
    ) revoked ON true
    ORDER BY k.version;
  COMMENT ON VIEW audit.key_timeline IS 'What is each key''s life? One line a key.';
  COMMENT ON COLUMN audit.key_timeline.version IS 'Counts 1, 2, 3 … without gaps.';
  COMMENT ON COLUMN audit.key_timeline.kid IS 'Key id in token headers and JWKS.';
  COMMENT ON COLUMN audit.key_timeline.algorithm IS 'JWS algorithm.';
  COMMENT ON COLUMN audit.key_timeline.state IS 'Now: pending, active, retiring, expired or revoked.';
  COMMENT ON COLUMN audit.key_timeline.published_at IS 'Since when it is public.';
  COMMENT ON COLUMN audit.key_timeline.active_from IS 'From when it signs. Null: it never does.';
  COMMENT ON COLUMN audit.key_timeline.active_to IS 'Until when it signs. Null: open, or it never does.';
  COMMENT ON COLUMN audit.key_timeline.verifies_until IS 'Until when tokens under it are accepted. Null: open.';
  COMMENT ON COLUMN audit.key_timeline.origin IS 'generated, imported or renewed.';
  COMMENT ON COLUMN audit.key_timeline.activation IS 'How its signing window begins.';
  COMMENT ON COLUMN audit.key_timeline.revoked_at IS 'When it was revoked or superseded.';
  COMMENT ON COLUMN audit.key_timeline.revocation_reason IS 'Why it was revoked.';
  COMMENT ON COLUMN audit.key_timeline.published_by IS 'Who brought it in.';
  COMMENT ON COLUMN audit.key_timeline.revoked_by IS 'Who revoked it.';
  COMMENT ON COLUMN audit.key_timeline.private_key_destroyed_at IS 'When its private half was destroyed.';
`;
