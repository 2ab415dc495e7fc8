import type { MigrationInterface, QueryRunner } from 'typeorm';

/** One chained, append-only log of everything rare and grave, written by triggers in the transaction of the change itself. */
export class AuditLog1795000003000 implements MigrationInterface {
  name = 'AuditLog1795000003000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(LOG);
    await db.query(RECORDERS);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP TRIGGER tr_50_record ON keyturn.users;
      DROP TRIGGER tr_50_record ON keyturn.signing_key_secrets;
      DROP TRIGGER tr_50_record ON keyturn.signing_keys;
      DROP FUNCTION keyturn.record_user_change();
      DROP FUNCTION keyturn.record_reseal();
      DROP FUNCTION keyturn.record_key_change();
      DROP FUNCTION keyturn.append_history(text, integer, text, uuid, text, jsonb, jsonb);
      DROP FUNCTION keyturn.changed_members(jsonb, jsonb);
      DROP FUNCTION keyturn.key_generation();
      DROP TABLE keyturn.audit_log;
      DROP FUNCTION keyturn.guard_history_insert();
      DROP FUNCTION keyturn.entry_instant(text);
    `);
  }
}

const LOG = `
  CREATE FUNCTION keyturn.entry_instant(entry text) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (entry::pg_catalog.jsonb ->> 'at')::pg_catalog.timestamptz $$;
  COMMENT ON FUNCTION keyturn.entry_instant(text) IS
    'The instant of a history entry. Immutable, because entries write it in UTC with its zone.';

  CREATE TABLE keyturn.audit_log (
    seq bigint NOT NULL,
    prev_hash text NOT NULL,
    entry text NOT NULL,
    hash text NOT NULL,
    at timestamptz NOT NULL GENERATED ALWAYS AS (keyturn.entry_instant(entry)) STORED,
    event text NOT NULL GENERATED ALWAYS AS (entry::jsonb ->> 'event') STORED,
    version integer GENERATED ALWAYS AS ((entry::jsonb ->> 'version')::integer) STORED,
    subject uuid GENERATED ALWAYS AS ((entry::jsonb ->> 'subject')::uuid) STORED,
    actor uuid GENERATED ALWAYS AS ((entry::jsonb ->> 'actor')::uuid) STORED,
    CONSTRAINT pk_audit_log PRIMARY KEY (seq),
    CONSTRAINT uq_audit_log_prev_hash UNIQUE (prev_hash),
    CONSTRAINT ck_audit_log_seq CHECK (seq > 0),
    CONSTRAINT ck_audit_log_hash CHECK (hash = encode(sha256(convert_to(prev_hash || entry, 'UTF8')), 'hex')),
    CONSTRAINT ck_audit_log_prev_hash CHECK (prev_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ck_audit_log_event CHECK (event IN (
      'bootstrapped', 'published', 'scheduled', 'taken_over_early', 'taken_over_forced', 'taken_over_by_emergency', 'renewed',
      'imported', 'superseded', 'revoked', 'private_half_destroyed', 'resealed', 'restored', 'reconciled',
      'user_created', 'user_roles_changed', 'user_disabled', 'user_enabled', 'user_reset', 'user_changed', 'user_erased'
    ))
  );
  CREATE INDEX ix_audit_log_key_events ON keyturn.audit_log (version, seq) WHERE version IS NOT NULL;
  CREATE INDEX ix_audit_log_generation ON keyturn.audit_log (seq) WHERE version IS NOT NULL;
  CREATE INDEX ix_audit_log_subject ON keyturn.audit_log (subject, seq) WHERE subject IS NOT NULL;
  CREATE INDEX ix_audit_log_actor ON keyturn.audit_log (actor, seq) WHERE actor IS NOT NULL;
  CREATE INDEX ix_audit_log_at ON keyturn.audit_log (at);

  COMMENT ON TABLE keyturn.audit_log IS
    'One chained log of everything rare and grave: the life of keys and the administration of users. Append-only.';
  COMMENT ON COLUMN keyturn.audit_log.seq IS 'Counts 1, 2, 3 … without gaps.';
  COMMENT ON COLUMN keyturn.audit_log.prev_hash IS 'hash of the row before; 64 zeros for the first.';
  COMMENT ON COLUMN keyturn.audit_log.entry IS
    'What happened: one canonical JSON text. No names or addresses of people, never private material.';
  COMMENT ON COLUMN keyturn.audit_log.hash IS 'SHA-256, in hexadecimal, of prev_hash followed by entry.';
  COMMENT ON COLUMN keyturn.audit_log.at IS 'When, from entry.';
  COMMENT ON COLUMN keyturn.audit_log.event IS 'What, from entry.';
  COMMENT ON COLUMN keyturn.audit_log.version IS 'Which signing key, from entry. Null for events about users.';
  COMMENT ON COLUMN keyturn.audit_log.subject IS 'Which user it was done to, from entry. Null for events about keys.';
  COMMENT ON COLUMN keyturn.audit_log.actor IS 'Which user did it, as the application claims, from entry. Null: no user.';
  COMMENT ON INDEX keyturn.ix_audit_log_key_events IS 'The history of one key.';
  COMMENT ON INDEX keyturn.ix_audit_log_generation IS 'The newest key event: its seq is the generation of the key set.';
  COMMENT ON INDEX keyturn.ix_audit_log_subject IS 'The history of one user.';
  COMMENT ON INDEX keyturn.ix_audit_log_actor IS 'What one user did.';
  COMMENT ON INDEX keyturn.ix_audit_log_at IS 'History by time.';

  CREATE FUNCTION keyturn.guard_history_insert() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'history is written by the triggers of the tables it watches, by nobody else'
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN NEW;
    END $$;
  COMMENT ON FUNCTION keyturn.guard_history_insert() IS 'Refuses a row that no trigger wrote.';

  CREATE TRIGGER tr_20_guard BEFORE INSERT ON keyturn.audit_log
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_history_insert();
  CREATE TRIGGER tr_30_append_only BEFORE UPDATE OR DELETE ON keyturn.audit_log
    FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('history is append-only');
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('history is append-only');
  GRANT SELECT ON keyturn.audit_log TO keyturn_app;

  CREATE FUNCTION keyturn.key_generation() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(max(seq), 0) FROM keyturn.audit_log WHERE version IS NOT NULL $$;
  COMMENT ON FUNCTION keyturn.key_generation() IS 'seq of the newest key event: whoever has loaded less must load again.';
  GRANT EXECUTE ON FUNCTION keyturn.key_generation() TO keyturn_app;
`;

const RECORDERS = `
  CREATE FUNCTION keyturn.changed_members(before jsonb, after jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
      SELECT coalesce(pg_catalog.jsonb_object_agg(b.key, b.value), '{}')
      FROM pg_catalog.jsonb_each(before) b
      WHERE b.value IS DISTINCT FROM after -> b.key
    $$;
  COMMENT ON FUNCTION keyturn.changed_members(jsonb, jsonb) IS 'The members of the first object that differ in the second.';

  CREATE FUNCTION keyturn.append_history(
    event text, version integer, kid text, subject uuid, reason text, before jsonb, after jsonb
  ) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
    AS $$
    DECLARE
      head_seq bigint;
      head_hash text;
      entry text;
    BEGIN
      SELECT seq, hash INTO head_seq, head_hash FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1;
      head_hash := coalesce(head_hash, repeat('0', 64));
      SELECT row_to_json(e)::text INTO entry FROM (
        SELECT
          to_char(keyturn.begin_change(), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at,
          append_history.event,
          append_history.version,
          append_history.kid,
          append_history.subject,
          nullif(current_setting('keyturn.actor', true), '')::uuid AS actor,
          coalesce(append_history.reason, nullif(current_setting('keyturn.reason', true), '')) AS reason,
          nullif(current_setting('keyturn.request_id', true), '') AS request_id,
          session_user AS session_user,
          host(inet_client_addr()) AS client_addr,
          current_setting('application_name') AS application_name,
          before AS old,
          after AS new
      ) e;
      INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
        VALUES (coalesce(head_seq, 0) + 1, head_hash, entry, encode(sha256(convert_to(head_hash || entry, 'UTF8')), 'hex'));
    END $$;
  COMMENT ON FUNCTION keyturn.append_history(text, integer, text, uuid, text, jsonb, jsonb) IS
    'Links one event to the chain. Called by triggers that hold the lock of keyturn.begin_change().';

  CREATE FUNCTION keyturn.record_key_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
    AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        PERFORM keyturn.append_history(
          CASE WHEN NEW.origin <> 'generated' THEN NEW.origin
               WHEN NEW.activation = 'bootstrap' THEN 'bootstrapped'
               ELSE 'published' END,
          NEW.version, NEW.kid, NULL, NULL, NULL, jsonb_strip_nulls(to_jsonb(NEW)));
      ELSIF NEW IS DISTINCT FROM OLD THEN
        PERFORM keyturn.append_history(
          CASE WHEN NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
                 THEN CASE NEW.revocation_reason WHEN 'superseded' THEN 'superseded' ELSE 'revoked' END
               WHEN NEW.activation = 'emergency' AND OLD.activation <> 'emergency' THEN 'taken_over_by_emergency'
               WHEN NEW.activation IS DISTINCT FROM OLD.activation AND NEW.activation IN ('early', 'forced')
                 THEN 'taken_over_' || NEW.activation
               WHEN NEW.private_key_destroyed_at IS DISTINCT FROM OLD.private_key_destroyed_at THEN 'private_half_destroyed'
               ELSE 'scheduled' END,
          NEW.version, NEW.kid, NULL,
          CASE WHEN NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN NEW.revocation_reason END,
          keyturn.changed_members(to_jsonb(OLD), to_jsonb(NEW)), keyturn.changed_members(to_jsonb(NEW), to_jsonb(OLD)));
      END IF;
      RETURN NEW;
    END $$;
  COMMENT ON FUNCTION keyturn.record_key_change() IS 'Writes the history of signing keys.';

  CREATE FUNCTION keyturn.record_reseal() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
      key_id text;
    BEGIN
      SELECT kid INTO key_id FROM keyturn.signing_keys WHERE version = NEW.version;
      PERFORM keyturn.append_history('resealed', NEW.version, key_id, NULL, NULL,
        jsonb_build_object('kek_id', OLD.kek_id), jsonb_build_object('kek_id', NEW.kek_id));
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.record_reseal() IS 'Writes that a private half was sealed again, and under which key-encryption key.';

  CREATE FUNCTION keyturn.record_user_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
    AS $$
    DECLARE
      was jsonb;
      is_now jsonb;
    BEGIN
      IF TG_OP <> 'INSERT' THEN
        was := jsonb_build_object('roles', OLD.roles, 'disabled_at', OLD.disabled_at, 'ver', OLD.ver, 'reset_at', OLD.reset_at);
      END IF;
      IF TG_OP <> 'DELETE' THEN
        is_now := jsonb_build_object('roles', NEW.roles, 'disabled_at', NEW.disabled_at, 'ver', NEW.ver, 'reset_at', NEW.reset_at);
      END IF;
      IF TG_OP = 'INSERT' THEN
        PERFORM keyturn.append_history('user_created', NULL, NULL, NEW.id, NULL, NULL, is_now);
      ELSIF TG_OP = 'DELETE' THEN
        PERFORM keyturn.append_history('user_erased', NULL, NULL, OLD.id, NULL, was, NULL);
      ELSIF was <> is_now THEN
        PERFORM keyturn.append_history(
          CASE (SELECT string_agg(key, ' ' ORDER BY key) FROM jsonb_object_keys(keyturn.changed_members(is_now, was)) key WHERE key <> 'ver')
            WHEN 'roles' THEN 'user_roles_changed'
            WHEN 'disabled_at' THEN CASE WHEN NEW.disabled_at IS NULL THEN 'user_enabled' ELSE 'user_disabled' END
            WHEN 'reset_at' THEN 'user_reset'
            ELSE 'user_changed' END,
          NULL, NULL, NEW.id, NULL, keyturn.changed_members(was, is_now), keyturn.changed_members(is_now, was));
      END IF;
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.record_user_change() IS 'Writes the history of users: roles, standing and ver, no names.';

  CREATE TRIGGER tr_50_record BEFORE INSERT OR UPDATE ON keyturn.signing_keys
    FOR EACH ROW EXECUTE FUNCTION keyturn.record_key_change();
  CREATE TRIGGER tr_50_record AFTER UPDATE ON keyturn.signing_key_secrets
    FOR EACH ROW EXECUTE FUNCTION keyturn.record_reseal();
  CREATE TRIGGER tr_50_record AFTER INSERT OR DELETE OR UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users
    FOR EACH ROW EXECUTE FUNCTION keyturn.record_user_change();
`;
