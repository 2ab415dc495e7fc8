import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who logged in, from where, and who failed: a table by months, kept for as long as is configured. */
export class LoginHistory1795000009000 implements MigrationInterface {
  name = 'LoginHistory1795000009000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(LOGIN_EVENTS);
    await db.query(PARTITIONS);
    await db.query(VIEW);
    await db.query(ERASURE);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP TRIGGER tr_60_forget_logins ON keyturn.users;
      DROP FUNCTION keyturn.forget_logins();
      DROP VIEW audit.login_history;
      DO $$
      DECLARE
        detached name;
      BEGIN
        FOR detached IN SELECT relname FROM pg_class
          WHERE relnamespace = 'keyturn'::regnamespace AND relkind = 'r' AND relname ~ '^login_events_[0-9_]+_detached_[0-9_]+$'
        LOOP
          EXECUTE format('DROP TABLE keyturn.%I', detached);
        END LOOP;
      END $$;
      DROP FUNCTION keyturn.keep_login_partitions(keyturn.duration);
      DROP TABLE keyturn.login_events;
    `);
  }
}

const LOGIN_EVENTS = `
  CREATE TABLE keyturn.login_events (
    at timestamptz NOT NULL DEFAULT keyturn.clock(),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    outcome text NOT NULL,
    user_id uuid,
    username_tried text,
    address inet,
    user_agent text,
    session_id uuid,
    request_id text,
    CONSTRAINT pk_login_events PRIMARY KEY (at, id),
    CONSTRAINT ck_login_events_outcome CHECK (outcome IN
      ('success', 'wrong_password', 'unknown_user', 'disabled', 'throttled', 'refresh_reused', 'code_redeemed')),
    CONSTRAINT ck_login_events_user CHECK (
      CASE WHEN outcome = 'unknown_user' THEN user_id IS NULL ELSE user_id IS NOT NULL OR outcome = 'throttled' END
    ),
    CONSTRAINT ck_login_events_session CHECK ((session_id IS NOT NULL) = (outcome IN ('success', 'refresh_reused'))),
    CONSTRAINT ck_login_events_username_tried CHECK (char_length(username_tried) <= 254),
    CONSTRAINT ck_login_events_user_agent CHECK (char_length(user_agent) <= 256),
    CONSTRAINT ck_login_events_request_id CHECK (char_length(request_id) <= 64)
  ) PARTITION BY RANGE (at);
  CREATE INDEX ix_login_events_user_id ON keyturn.login_events (user_id, at);
  CREATE INDEX ix_login_events_address ON keyturn.login_events (address, at);

  COMMENT ON TABLE keyturn.login_events IS
    'Who logged in, from where, and who failed. One partition a month (UTC). Not chained: what is grave is in audit_log. '
    'Holds names and addresses of people: see keep_login_partitions() and forget_logins().';
  COMMENT ON COLUMN keyturn.login_events.at IS 'When, by the database''s clock.';
  COMMENT ON COLUMN keyturn.login_events.id IS 'Tells events of the same instant apart.';
  COMMENT ON COLUMN keyturn.login_events.outcome IS
    'success; wrong_password (or none set yet), unknown_user, disabled, throttled: all answered alike or not let in; refresh_reused: '
    'a spent refresh token came back and its session was ended; code_redeemed: a password was set with a one-time code.';
  COMMENT ON COLUMN keyturn.login_events.user_id IS
    'Whose account it was. No foreign key: the event outlives the user. Null: there is no such user.';
  COMMENT ON COLUMN keyturn.login_events.username_tried IS
    'The name as it was typed. People do type a password there by mistake: only auditors may read it. Null: none was typed, or the person was erased.';
  COMMENT ON COLUMN keyturn.login_events.address IS 'Where it came from. Null: not known, or the person was erased.';
  COMMENT ON COLUMN keyturn.login_events.user_agent IS
    'What the client called itself, the first 256 characters. Null: nothing, or the person was erased.';
  COMMENT ON COLUMN keyturn.login_events.session_id IS 'The session that was begun, or ended because its refresh token came back.';
  COMMENT ON COLUMN keyturn.login_events.request_id IS 'The request, to find it in the server''s log.';
  COMMENT ON INDEX keyturn.ix_login_events_user_id IS 'The logins of one user. Not partial: an unknown user costs what a known one does.';
  COMMENT ON INDEX keyturn.ix_login_events_address IS 'The logins from one address.';

  CREATE TABLE keyturn.login_events_default PARTITION OF keyturn.login_events DEFAULT;
  COMMENT ON TABLE keyturn.login_events_default IS
    'Takes what no month''s partition takes, so that no login fails for want of one. keep_login_partitions() empties it.';

  GRANT SELECT, INSERT (outcome, user_id, username_tried, address, user_agent, session_id, request_id)
    ON keyturn.login_events TO keyturn_app;
`;

/**
 * Detached months stay for 30 days before they are dropped, by the day in their name: a retention that was set too short, or a server
 * that is no longer ours, takes nothing away before somebody can notice. ALTER … DETACH waits for readers of the table, and those who
 * come after wait behind it: so it waits for a fifth of a second only, and tries again the next time.
 */
const PARTITIONS = `
  CREATE FUNCTION keyturn.keep_login_partitions(keep keyturn.duration)
    RETURNS TABLE (partition text, what text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '2s'
    AS $$
    DECLARE
      now_here timestamptz := keyturn.clock();
      kept_from timestamptz := now_here - keep;
      month timestamptz;
      new_name name;
    BEGIN
      IF keep IS NULL OR keep < interval '720 hours' THEN
        RAISE EXCEPTION 'logins are kept for 30 days at least' USING ERRCODE = 'invalid_parameter_value';
      END IF;
      -- One at a time. Nobody who logs in, or reads, waits for this.
      LOCK TABLE ONLY keyturn.login_events IN SHARE UPDATE EXCLUSIVE MODE;
      PERFORM set_config('lock_timeout', '200ms', true);

      -- This month and the next two; and months of which the default partition took something.
      FOR month IN
        SELECT date_trunc('month', now_here) + ahead * interval '1 month' FROM generate_series(0, 2) ahead
        UNION SELECT date_trunc('month', at) FROM keyturn.login_events_default
        ORDER BY 1
      LOOP
        partition := to_char(month, '"login_events_"YYYY_MM');
        CONTINUE WHEN to_regclass(format('keyturn.%I', partition)) IS NOT NULL;
        BEGIN
          LOCK TABLE keyturn.login_events_default IN ACCESS EXCLUSIVE MODE;
          EXECUTE format('CREATE TABLE keyturn.%I (LIKE keyturn.login_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)', partition);
          EXECUTE format('COMMENT ON TABLE keyturn.%I IS %L', partition, to_char(month, '"Logins of "YYYY-MM", UTC."'));
          EXECUTE format(
            'WITH moved AS (DELETE FROM keyturn.login_events_default WHERE at >= %L AND at < %L RETURNING *) INSERT INTO keyturn.%I SELECT * FROM moved',
            month, month + interval '1 month', partition);
          EXECUTE format('ALTER TABLE keyturn.login_events ATTACH PARTITION keyturn.%I FOR VALUES FROM (%L) TO (%L)',
            partition, month, month + interval '1 month');
          what := 'created';
        EXCEPTION WHEN lock_not_available THEN
          what := 'not created yet: somebody reads';
        END;
        RETURN NEXT;
      END LOOP;

      FOR partition IN
        SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'keyturn.login_events'::regclass AND child.relname ~ '^login_events_[0-9]{4}_[0-9]{2}$'
          AND to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month' <= kept_from
        ORDER BY child.relname
      LOOP
        BEGIN
          EXECUTE format('ALTER TABLE keyturn.login_events DETACH PARTITION keyturn.%I', partition);
          new_name := partition || to_char(now_here, '"_detached_"YYYY_MM_DD');
          EXECUTE format('ALTER TABLE keyturn.%I RENAME TO %I', partition, new_name);
          what := 'detached';
        EXCEPTION WHEN lock_not_available THEN
          what := 'not detached yet: somebody reads';
        END;
        RETURN NEXT;
      END LOOP;

      FOR partition IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'keyturn'::regnamespace AND relkind = 'r' AND relname ~ '^login_events_[0-9]{4}_[0-9]{2}_detached_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
          AND to_date(right(relname, 10), 'YYYY_MM_DD') + interval '30 days' <= now_here
        ORDER BY relname
      LOOP
        BEGIN
          EXECUTE format('DROP TABLE keyturn.%I', partition);
          what := 'dropped';
        EXCEPTION WHEN lock_not_available THEN
          what := 'not dropped yet: somebody reads';
        END;
        RETURN NEXT;
      END LOOP;
    END $$;
  COMMENT ON FUNCTION keyturn.keep_login_partitions(keyturn.duration) IS
    'Makes the partitions of this month and the next two, detaches months that ended longer than keep (30 days at least) ago, and drops '
    'what was detached 30 days ago. To keep a month, rename its detached table. Called by every server, daily; returns what was done.';
  GRANT EXECUTE ON FUNCTION keyturn.keep_login_partitions(keyturn.duration) TO keyturn_app;
  SELECT keyturn.keep_login_partitions(interval '9600 hours');
`;

const VIEW = `
  CREATE VIEW audit.login_history AS
    SELECT e.at, e.outcome, u.username, e.username_tried, e.address, e.user_agent, e.user_id, e.session_id, e.request_id
    FROM keyturn.login_events e LEFT JOIN keyturn.users u ON u.id = e.user_id;
  COMMENT ON VIEW audit.login_history IS
    'Who logged in, from where, and who failed? Not sorted: ORDER BY at. Say from when: at > now() - interval ''7 days''.';
  COMMENT ON COLUMN audit.login_history.at IS 'When.';
  COMMENT ON COLUMN audit.login_history.outcome IS
    'success; wrong_password, unknown_user, disabled, throttled: not let in; refresh_reused: a spent refresh token came back, the session '
    'was ended; code_redeemed: a password was set with a one-time code.';
  COMMENT ON COLUMN audit.login_history.username IS
    'Whose account, by the name of today. Null: there is no such user, or the person was erased. To look for one person, '
    'however rare: user_id = (SELECT id FROM audit.users WHERE lower(username) = lower(''Bob'')).';
  COMMENT ON COLUMN audit.login_history.username_tried IS
    'The name as it was typed; by mistake it may be a password. Null: none was typed, or the person was erased.';
  COMMENT ON COLUMN audit.login_history.address IS 'Where it came from. Null: not known, or the person was erased.';
  COMMENT ON COLUMN audit.login_history.user_agent IS 'What the client called itself.';
  COMMENT ON COLUMN audit.login_history.user_id IS 'Whose account: id of the user, also of one who was erased.';
  COMMENT ON COLUMN audit.login_history.session_id IS 'The session that was begun, or ended because its refresh token came back.';
  COMMENT ON COLUMN audit.login_history.request_id IS 'The request, to find it in the server''s log.';
  GRANT SELECT ON audit.login_history TO keyturn_app, keyturn_auditor;
`;

const ERASURE = `
  CREATE FUNCTION keyturn.forget_logins() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      UPDATE keyturn.login_events SET username_tried = NULL, address = NULL, user_agent = NULL WHERE user_id = OLD.id;
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.forget_logins() IS
    'Erasing a user takes name, address and agent out of their logins; that there were logins, when, and how they ended stays. '
    'Detached months are not searched: they are dropped within 30 days.';
  CREATE TRIGGER tr_60_forget_logins AFTER DELETE ON keyturn.users
    FOR EACH ROW EXECUTE FUNCTION keyturn.forget_logins();
`;
