import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who may log in, their sessions with one refresh family each, and one-time codes. */
export class UsersAndSessions1795000002000 implements MigrationInterface {
  name = 'UsersAndSessions1795000002000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(USERS);
    await db.query(SESSIONS);
    await db.query(CODES_AND_SECRETS);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP TABLE keyturn.service_secrets;
      DROP TABLE keyturn.one_time_codes;
      DROP TABLE keyturn.sessions CASCADE;
      DROP TABLE keyturn.users;
      DROP FUNCTION keyturn.guard_session_delete();
      DROP FUNCTION keyturn.guard_session();
      DROP FUNCTION keyturn.end_sessions_of_disabled();
      DROP FUNCTION keyturn.guard_user();
    `);
  }
}

const USERS = `
  CREATE TABLE keyturn.users (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    username text NOT NULL,
    password_hash text,
    roles text[] NOT NULL DEFAULT '{}',
    ver integer NOT NULL DEFAULT 1,
    disabled_at timestamptz,
    reset_at timestamptz,
    password_changed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT keyturn.clock(),
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_username CHECK (char_length(username) BETWEEN 1 AND 254 AND username !~ '[[:space:][:cntrl:]]'),
    CONSTRAINT ck_users_password_hash CHECK (password_hash LIKE '$argon2id$%'),
    CONSTRAINT ck_users_roles CHECK (
      cardinality(roles) <= 64 AND array_position(roles, NULL) IS NULL
      AND cardinality(string_to_array(array_to_string(roles, ' '), ' ')) = cardinality(roles)
      AND array_to_string(roles, ' ') ~ '^([A-Za-z0-9_.:-]{1,64}( [A-Za-z0-9_.:-]{1,64})*)?$'
    ),
    CONSTRAINT ck_users_instants CHECK (
      least(disabled_at, reset_at, password_changed_at, created_at) >= '1970-01-01 00:00:00+00'
      AND greatest(disabled_at, reset_at, password_changed_at, created_at) < '9999-12-31 00:00:00+00'
    ),
    CONSTRAINT ck_users_ver CHECK (ver > 0)
  );
  CREATE UNIQUE INDEX uq_users_username ON keyturn.users (lower(username));

  COMMENT ON TABLE keyturn.users IS 'Who may log in.';
  COMMENT ON COLUMN keyturn.users.id IS 'Subject of the tokens (claim sub).';
  COMMENT ON COLUMN keyturn.users.username IS 'What the person types to log in; may be an e-mail address. Unique ignoring case.';
  COMMENT ON COLUMN keyturn.users.password_hash IS 'Argon2id, PHC string. Null: invited, no password set yet.';
  COMMENT ON COLUMN keyturn.users.roles IS 'Free words; admin and auditor are the product''s own.';
  COMMENT ON COLUMN keyturn.users.ver IS 'Rises by itself when roles or standing change; tokens with an older ver are refused.';
  COMMENT ON COLUMN keyturn.users.disabled_at IS 'Since when the user may not log in. Null: enabled.';
  COMMENT ON COLUMN keyturn.users.reset_at IS 'When an administrator last asked for a password reset.';
  COMMENT ON COLUMN keyturn.users.password_changed_at IS 'When the password was last set.';
  COMMENT ON COLUMN keyturn.users.created_at IS 'When the row was made.';
  COMMENT ON INDEX keyturn.uq_users_username IS 'One user a name, ignoring case.';

  CREATE FUNCTION keyturn.guard_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      IF NEW.id <> OLD.id THEN
        RAISE EXCEPTION 'a user keeps its id' USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.ver < OLD.ver THEN
        RAISE EXCEPTION 'a user''s ver never falls' USING ERRCODE = 'check_violation';
      END IF;
      IF (NEW.roles, NEW.disabled_at, NEW.reset_at) IS DISTINCT FROM (OLD.roles, OLD.disabled_at, OLD.reset_at) THEN
        NEW.ver := greatest(NEW.ver, OLD.ver + 1);
      END IF;
      RETURN NEW;
    END $$;
  COMMENT ON FUNCTION keyturn.guard_user() IS
    'Raises ver whenever roles or standing change, by whoever''s hand, so that every token issued before is refused.';

  CREATE TRIGGER tr_10_lock BEFORE INSERT OR DELETE OR UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_20_guard BEFORE UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_user();
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.users
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('delete a user by id, so that history records it');

  GRANT SELECT, INSERT (id, username, password_hash, roles, password_changed_at),
    UPDATE (username, password_hash, roles, disabled_at, reset_at, password_changed_at) ON keyturn.users TO keyturn_app;
`;

const SESSIONS = `
  CREATE TABLE keyturn.sessions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT keyturn.clock(),
    refreshed_at timestamptz NOT NULL DEFAULT keyturn.clock(),
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_in xid8,
    end_reason text,
    refresh_hash bytea NOT NULL,
    refresh_generation integer NOT NULL DEFAULT 0,
    user_agent text,
    address inet,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES keyturn.users (id) ON DELETE CASCADE,
    CONSTRAINT ck_sessions_instants CHECK (
      least(created_at, refreshed_at, idle_expires_at, expires_at, ended_at) >= '1970-01-01 00:00:00+00'
      AND greatest(created_at, refreshed_at, idle_expires_at, expires_at, ended_at) < '9999-12-31 00:00:00+00'
    ),
    CONSTRAINT ck_sessions_limits CHECK (created_at <= refreshed_at AND idle_expires_at <= expires_at),
    CONSTRAINT ck_sessions_ended CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT ck_sessions_end_reason CHECK (end_reason IN
      ('logout', 'logout_all', 'administrator', 'password_changed', 'password_reset', 'disabled', 'refresh_token_reused', 'by_hand')),
    CONSTRAINT ck_sessions_refresh CHECK (octet_length(refresh_hash) = 32 AND refresh_generation >= 0),
    CONSTRAINT ck_sessions_user_agent CHECK (char_length(user_agent) <= 256)
  );
  CREATE INDEX ix_sessions_user_id ON keyturn.sessions (user_id, created_at);
  CREATE INDEX ix_sessions_expires_at ON keyturn.sessions (expires_at);
  CREATE INDEX ix_sessions_ended_at ON keyturn.sessions (ended_at) WHERE ended_at IS NOT NULL;
  CREATE INDEX ix_sessions_ended_in ON keyturn.sessions (ended_in) WHERE ended_in IS NOT NULL;

  COMMENT ON TABLE keyturn.sessions IS 'One login each, with its family of refresh tokens. A token lives no longer than its session.';
  COMMENT ON COLUMN keyturn.sessions.id IS 'Claim sid of the tokens.';
  COMMENT ON COLUMN keyturn.sessions.user_id IS 'Whose session it is.';
  COMMENT ON COLUMN keyturn.sessions.created_at IS 'When the person proved who they are (claim auth_time).';
  COMMENT ON COLUMN keyturn.sessions.refreshed_at IS 'When the current refresh token was made.';
  COMMENT ON COLUMN keyturn.sessions.idle_expires_at IS 'Ends then, unless it is refreshed before.';
  COMMENT ON COLUMN keyturn.sessions.expires_at IS 'Ends then in any case; never extended.';
  COMMENT ON COLUMN keyturn.sessions.ended_at IS 'When it was ended, stamped by the database. Final.';
  COMMENT ON COLUMN keyturn.sessions.ended_in IS
    'The transaction that ended it, stamped by the database. News goes by it: an end is told once it is committed, however late.';
  COMMENT ON COLUMN keyturn.sessions.end_reason IS 'Why it was ended.';
  COMMENT ON COLUMN keyturn.sessions.refresh_hash IS 'SHA-256 of the one refresh token that is good now.';
  COMMENT ON COLUMN keyturn.sessions.refresh_generation IS 'How many refresh tokens came before it. Earlier ones are recognised by derivation.';
  COMMENT ON COLUMN keyturn.sessions.user_agent IS 'What the client called itself at login.';
  COMMENT ON COLUMN keyturn.sessions.address IS 'Where the login came from.';
  COMMENT ON INDEX keyturn.ix_sessions_user_id IS 'A user''s sessions; serves the foreign key.';
  COMMENT ON INDEX keyturn.ix_sessions_expires_at IS 'Finds those whose rows may go.';
  COMMENT ON INDEX keyturn.ix_sessions_ended_at IS 'Finds those whose rows may go before their limit.';
  COMMENT ON INDEX keyturn.ix_sessions_ended_in IS 'What the poll asks for: sessions that ended since it asked last.';

  CREATE FUNCTION keyturn.guard_session() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'session % has ended and stays ended', OLD.id USING ERRCODE = 'check_violation';
      END IF;
      IF (NEW.id, NEW.user_id, NEW.created_at, NEW.expires_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.created_at, OLD.expires_at) THEN
        RAISE EXCEPTION 'a session keeps its user, its login and its absolute limit' USING ERRCODE = 'check_violation';
      END IF;
      -- Where the person's own act is the reason, the reason is enough: whoever names ended_at waits for every change (tr_10_lock).
      IF NEW.ended_at IS NOT NULL
         OR NEW.end_reason IN ('logout', 'logout_all', 'password_changed', 'password_reset', 'refresh_token_reused') THEN
        NEW.ended_at := keyturn.clock();
        NEW.ended_in := pg_current_xact_id();
        NEW.end_reason := coalesce(NEW.end_reason, 'by_hand');
      END IF;
      RETURN NEW;
    END $$;
  COMMENT ON FUNCTION keyturn.guard_session() IS 'An ended session stays ended; its end is stamped by the database; its limit is never extended.';

  CREATE FUNCTION keyturn.guard_session_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      IF least(OLD.ended_at, OLD.expires_at) > keyturn.clock() - interval '24 hours'
         AND EXISTS (SELECT FROM keyturn.users WHERE id = OLD.user_id) THEN
        RAISE EXCEPTION 'end session % instead: its row may go a day after it is over, when every server has heard of it', OLD.id
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN OLD;
    END $$;
  COMMENT ON FUNCTION keyturn.guard_session_delete() IS
    'No server would hear of a session that just vanishes. Erasing its user takes it along: of that they hear.';

  CREATE FUNCTION keyturn.end_sessions_of_disabled() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      UPDATE keyturn.sessions SET ended_at = keyturn.clock(), end_reason = 'disabled'
        WHERE user_id = NEW.id AND ended_at IS NULL;
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.end_sessions_of_disabled() IS 'Disabling a user ends every session, by whoever''s hand.';

  CREATE TRIGGER tr_20_guard BEFORE UPDATE ON keyturn.sessions
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_session();
  CREATE TRIGGER tr_20_guard_delete BEFORE DELETE ON keyturn.sessions
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_session_delete();
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('end sessions instead, so that every server hears of it');
  CREATE TRIGGER tr_40_end_sessions AFTER UPDATE OF disabled_at ON keyturn.users
    FOR EACH ROW WHEN (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL)
    EXECUTE FUNCTION keyturn.end_sessions_of_disabled();

  GRANT SELECT, INSERT (id, user_id, idle_expires_at, expires_at, refresh_hash, user_agent, address),
    UPDATE (refreshed_at, idle_expires_at, ended_at, end_reason, refresh_hash, refresh_generation), DELETE
    ON keyturn.sessions TO keyturn_app;
`;

const CODES_AND_SECRETS = `
  CREATE TABLE keyturn.one_time_codes (
    code_hash bytea NOT NULL,
    purpose text NOT NULL,
    user_id uuid,
    created_at timestamptz NOT NULL DEFAULT keyturn.clock(),
    expires_at timestamptz NOT NULL,
    redeemed_at timestamptz,
    CONSTRAINT pk_one_time_codes PRIMARY KEY (code_hash),
    CONSTRAINT fk_one_time_codes_user_id FOREIGN KEY (user_id) REFERENCES keyturn.users (id) ON DELETE CASCADE,
    CONSTRAINT ck_one_time_codes_hash CHECK (octet_length(code_hash) = 32),
    CONSTRAINT ck_one_time_codes_purpose CHECK (purpose IN ('setup', 'invitation', 'reset')),
    CONSTRAINT ck_one_time_codes_user CHECK ((purpose = 'setup') = (user_id IS NULL)),
    CONSTRAINT ck_one_time_codes_instants CHECK (
      least(created_at, expires_at, redeemed_at) >= '1970-01-01 00:00:00+00'
      AND greatest(created_at, expires_at, redeemed_at) < '9999-12-31 00:00:00+00'
    ),
    CONSTRAINT ck_one_time_codes_expires CHECK (expires_at > created_at)
  );
  CREATE INDEX ix_one_time_codes_user_id ON keyturn.one_time_codes (user_id);
  COMMENT ON TABLE keyturn.one_time_codes IS 'Codes that work once and not for long: first set-up, invitation, password reset.';
  COMMENT ON COLUMN keyturn.one_time_codes.code_hash IS 'SHA-256 of the code; the code itself is shown once and stored nowhere.';
  COMMENT ON COLUMN keyturn.one_time_codes.purpose IS 'setup makes the first administrator; invitation and reset set a user''s password.';
  COMMENT ON COLUMN keyturn.one_time_codes.user_id IS 'Whose password it sets. Null for setup.';
  COMMENT ON COLUMN keyturn.one_time_codes.created_at IS 'When it was made.';
  COMMENT ON COLUMN keyturn.one_time_codes.expires_at IS 'Works until then, exclusive.';
  COMMENT ON COLUMN keyturn.one_time_codes.redeemed_at IS 'When it was used, or made worthless by a newer one.';
  COMMENT ON INDEX keyturn.ix_one_time_codes_user_id IS 'A user''s codes; serves the foreign key.';
  GRANT SELECT, INSERT (code_hash, purpose, user_id, expires_at), UPDATE (redeemed_at), DELETE
    ON keyturn.one_time_codes TO keyturn_app;

  CREATE TABLE keyturn.service_secrets (
    name text NOT NULL,
    kek_id text NOT NULL,
    sealed bytea NOT NULL,
    CONSTRAINT pk_service_secrets PRIMARY KEY (name),
    CONSTRAINT ck_service_secrets_name CHECK (name IN ('refresh'))
  );
  COMMENT ON TABLE keyturn.service_secrets IS 'Secrets that the servers share, made once and sealed under the key-encryption key.';
  COMMENT ON COLUMN keyturn.service_secrets.name IS 'What it is for: refresh derives each refresh token from the one before.';
  COMMENT ON COLUMN keyturn.service_secrets.kek_id IS 'Which key-encryption key sealed it.';
  COMMENT ON COLUMN keyturn.service_secrets.sealed IS 'AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag. Associated data: the name.';
  GRANT SELECT, INSERT, UPDATE (kek_id, sealed) ON keyturn.service_secrets TO keyturn_app;
`;
