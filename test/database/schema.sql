-- What the migrations make, to be read and compared, not to be run. As PostgreSQL 18 spells it.
-- Written by: UPDATE_SCHEMA=1 npm run jest -- schema-dump

-- ## schema audit
CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'What an auditor may read: views and functions over the history of keys and users.';
GRANT USAGE ON SCHEMA audit TO keyturn_app;
GRANT USAGE ON SCHEMA audit TO keyturn_auditor;

-- ## schema keyturn
CREATE SCHEMA keyturn;
COMMENT ON SCHEMA keyturn IS 'Keyturn: signing keys, users, sessions and their history. Written by the server alone.';
GRANT USAGE ON SCHEMA keyturn TO keyturn_app;

-- ## default rights on T
of keyturn_owner: keyturn_owner=USAGE

-- ## default rights on f
of keyturn_owner: keyturn_owner=EXECUTE

-- ## domain keyturn.duration
CREATE DOMAIN keyturn.duration AS interval
  CONSTRAINT ck_duration_exact CHECK (((EXTRACT(year FROM VALUE) = (0)::numeric) AND (EXTRACT(month FROM VALUE) = (0)::numeric) AND (EXTRACT(day FROM VALUE) = (0)::numeric) AND (VALUE >= '00:00:00'::interval)));
COMMENT ON DOMAIN keyturn.duration IS 'A length of time in hours, minutes and seconds. Never days or months: their length depends on the time zone.';
GRANT USAGE ON TYPE keyturn.duration TO keyturn_app;

-- ## function audit.actions_by(text)
CREATE OR REPLACE FUNCTION audit.actions_by(person text)
 RETURNS TABLE(seq bigint, at timestamp with time zone, whom text, what text, reason text, request_id text, database_user text, client_address inet, application text, event text)
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT log.seq,
     log.at,
     told.whom,
     told.what,
     told.reason,
     told.request_id,
     told.database_user,
     told.client_address,
     told.application,
     log.event
    FROM (audit.chain log
      CROSS JOIN LATERAL ( SELECT ('key '::text || h.kid) AS whom,
             h.what,
             h.reason,
             h.request_id,
             h.database_user,
             h.client_address,
             h.application
            FROM audit.key_history h
           WHERE (h.seq = log.seq)
         UNION ALL
          SELECT COALESCE(h.username, ('user '::text || h.user_id)) AS "coalesce",
             h.what,
             h.reason,
             h.request_id,
             h.database_user,
             h.client_address,
             h.application
            FROM audit.user_history h
           WHERE (h.seq = log.seq)) told)
   WHERE (log.actor = COALESCE(( SELECT u.id
            FROM audit.users u
           WHERE (lower(u.username) = lower(actions_by.person))),
         CASE
             WHEN (actions_by.person ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'::text) THEN (actions_by.person)::uuid
             ELSE NULL::uuid
         END))
   ORDER BY log.seq;
END;
COMMENT ON FUNCTION audit.actions_by(text) IS 'What did a person do? By username, or by id where the person was erased. As the application claims: database_user is what Postgres knew.';
GRANT EXECUTE ON FUNCTION audit.actions_by(text) TO keyturn_app;
GRANT EXECUTE ON FUNCTION audit.actions_by(text) TO keyturn_auditor;

-- ## function audit.key_for(text,timestamp with time zone)
CREATE OR REPLACE FUNCTION audit.key_for(of_kid text, at_instant timestamp with time zone)
 RETURNS TABLE(kid text, version integer, algorithm text, good boolean, state text, why text, revoked_at timestamp with time zone, revocation_reason text)
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT key_for.of_kid AS of_kid,
     k.version,
     k.algorithm,
     COALESCE(
         CASE
             WHEN k.signs THEN (life.state = 'active'::text)
             ELSE (life.state = 'retiring'::text)
         END, false) AS "coalesce",
     COALESCE(life.state, 'unknown'::text) AS "coalesce",
         CASE
             WHEN (k.version IS NULL) THEN 'no key ever had this kid'::text
             WHEN (life.state = 'revoked'::text) THEN ('it was revoked at '::text || keyturn.in_words(k.revoked_at))
             WHEN (NOT k.signs) THEN ((('it only verifies, from '::text || keyturn.in_words(k.activates_at)) || ' until '::text) || keyturn.in_words(k.expires_at))
             WHEN (k.retires_at = k.activates_at) THEN 'it never signed'::text
             WHEN (life.state = 'pending'::text) THEN ('it signs only from '::text || keyturn.in_words(k.activates_at))
             WHEN (life.state = 'active'::text) THEN ('it signed from '::text || keyturn.in_words(k.activates_at))
             ELSE ('it signed only until '::text || keyturn.in_words(k.retires_at))
         END AS "case",
     k.revoked_at,
     k.revocation_reason
    FROM ((( SELECT) always
      LEFT JOIN audit.signing_keys k ON ((k.kid = key_for.of_kid)))
      LEFT JOIN LATERAL ( SELECT keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, key_for.at_instant) AS state
           WHERE (k.version IS NOT NULL)) life ON (true));
END;
COMMENT ON FUNCTION audit.key_for(text,timestamp with time zone) IS 'Was this key good when a token was signed? Always one row: good, in which state it was, and why. revoked_at says whether it was revoked, then or later. Servers accept tokens signed about a minute outside a window, since clocks differ; this answer does not.';
GRANT EXECUTE ON FUNCTION audit.key_for(text,timestamp with time zone) TO keyturn_app;
GRANT EXECUTE ON FUNCTION audit.key_for(text,timestamp with time zone) TO keyturn_auditor;

-- ## function audit.keys_valid_at(timestamp with time zone)
CREATE OR REPLACE FUNCTION audit.keys_valid_at(at_instant timestamp with time zone)
 RETURNS TABLE(version integer, kid text, algorithm text, state text, active_from timestamp with time zone, active_to timestamp with time zone, verifies_until timestamp with time zone)
 LANGUAGE sql
 STABLE PARALLEL SAFE
BEGIN ATOMIC
 SELECT k.version,
     k.kid,
     k.algorithm,
     keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, keys_valid_at.at_instant) AS key_state,
         CASE
             WHEN k.signs THEN k.activates_at
             ELSE NULL::timestamp with time zone
         END AS "case",
         CASE
             WHEN k.signs THEN k.retires_at
             ELSE NULL::timestamp with time zone
         END AS "case",
         CASE
             WHEN (k.revoked_at < k.expires_at) THEN k.revoked_at
             ELSE k.expires_at
         END AS expires_at
    FROM audit.signing_keys k
   WHERE (keyturn.verifying(k.activates_at, k.expires_at, k.revoked_at) @> keys_valid_at.at_instant);
END;
COMMENT ON FUNCTION audit.keys_valid_at(timestamp with time zone) IS 'Which keys were good at an instant? Those under which tokens were accepted: one active, which signed, and the retiring ones. For an instant ahead: as it is planned today.';
GRANT EXECUTE ON FUNCTION audit.keys_valid_at(timestamp with time zone) TO keyturn_app;
GRANT EXECUTE ON FUNCTION audit.keys_valid_at(timestamp with time zone) TO keyturn_auditor;

-- ## function audit.verify_history()
CREATE OR REPLACE FUNCTION audit.verify_history(OUT ok boolean, OUT checked bigint, OUT head_seq bigint, OUT head_hash text, OUT keys bigint, OUT users bigint, OUT checkpoints bigint, OUT problem text, OUT seq bigint, OUT version integer, OUT user_id uuid)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET "IntervalStyle" TO 'postgres'
 SET jit TO 'off'
AS $function$
    #variable_conflict use_column
    DECLARE
      line record;
    BEGIN
      -- STABLE: every statement below sees the database as it was when the function was called.
      SELECT count(*) INTO checked FROM audit.chain;
      SELECT seq, hash INTO head_seq, head_hash FROM audit.chain ORDER BY seq DESC LIMIT 1;
      SELECT count(*) INTO keys FROM audit.signing_keys;
      SELECT count(*) INTO users FROM audit.users;
      SELECT count(*) INTO checkpoints FROM audit.checkpoints;
      ok := false;

      -- Each row counts on from the row before, names its hash, and has the hash that it says.
      SELECT least(place, seq), words INTO seq, problem
        FROM (
          SELECT row_number() OVER by_seq AS place, seq, prev_hash, entry, hash,
            coalesce(lag(hash) OVER by_seq, repeat('0', 64)) AS hash_before
          FROM audit.chain WINDOW by_seq AS (ORDER BY seq)
        ) link
        CROSS JOIN LATERAL (
          SELECT CASE
            WHEN seq > place THEN format('row %s is missing', place)
            WHEN seq IS DISTINCT FROM place THEN format('row %s is one too many', seq)
            WHEN prev_hash IS DISTINCT FROM hash_before
              THEN format('row %s does not follow from the row before: one of the two was changed', seq)
            WHEN hash IS DISTINCT FROM encode(sha256(convert_to(prev_hash || entry, 'UTF8')), 'hex')
              THEN format('row %s was changed: its hash is not that of its entry', seq)
          END AS words
        ) judged
        WHERE words IS NOT NULL ORDER BY place LIMIT 1;
      IF FOUND THEN RETURN; END IF;

      -- Each signed head is still there.
      SELECT point.seq, CASE
          WHEN link.seq IS NULL THEN format('row %s is missing, but a checkpoint was signed over it: the end was cut off', point.seq)
          ELSE format('row %s is not what a checkpoint was signed over: history was rewritten there or before', point.seq)
        END
        INTO seq, problem
        FROM audit.checkpoints point LEFT JOIN audit.chain link ON link.seq = point.seq
        WHERE link.hash IS DISTINCT FROM point.hash ORDER BY point.seq LIMIT 1;
      IF FOUND THEN RETURN; END IF;

      -- Each names a key that signed then, two minutes either way. What its signature is worth, SQL cannot say.
      SELECT point.seq, format('the checkpoint over row %s cannot be believed: it names %s, which did not sign then', point.seq, point.signed_by)
        INTO seq, problem
        FROM audit.checkpoints point
        LEFT JOIN audit.signing_keys k
          ON k.kid = point.signed_by AND k.signs AND point.signed_at >= k.activates_at - interval '2 minutes'
          AND (
            -- Where the clock was set back behind its beginning, its window tells less than all that it signed.
            k.activates_at < k.published_at OR k.revoked_at <= k.activates_at
            OR coalesce(k.activates_at < least(k.retires_at, k.revoked_at), true)
              AND coalesce(point.signed_at <= least(k.retires_at, k.revoked_at) + interval '2 minutes', true)
          )
        WHERE k.kid IS NULL ORDER BY point.seq LIMIT 1;
      IF FOUND THEN RETURN; END IF;

      -- In one pass: the columns beside each entry say the same, each event begins where the one before it ended, and the last one ends
      -- where keys and users are today.
      WITH parsed AS (
        SELECT seq, version, CASE WHEN version IS NULL THEN subject END AS id, event AS name, (at, event, version, subject, actor) IS DISTINCT FROM (
            (said ->> 'at')::timestamptz, said ->> 'event', (said ->> 'version')::integer,
            (said ->> 'subject')::uuid, (said ->> 'actor')::uuid)
          OR coalesce(jsonb_typeof(said -> 'old'), '') NOT IN ('object', 'null')
          OR coalesce(jsonb_typeof(said -> 'new'), '') NOT IN ('object', 'null') AS contradicts,
          nullif(said -> 'old', 'null') AS old, nullif(said -> 'new', 'null') AS new
        FROM (SELECT seq, at, event, version, subject, actor, entry::jsonb AS said FROM audit.chain OFFSET 0) link
      ),
      event AS (
        SELECT seq, version, id, name, contradicts, counts,
          CASE WHEN counts THEN coalesce(old, '{}') ELSE '{}' END AS old, CASE WHEN counts THEN coalesce(new, '{}') ELSE '{}' END AS new
        FROM (
          SELECT *, NOT contradicts AND (
            version IS NOT NULL AND name NOT IN ('resealed', 'restored')
            OR id IS NOT NULL AND name <> 'user_sessions_ended'
              AND seq > coalesce((SELECT max(seq) FROM audit.chain WHERE event = 'restored'), 0)) AS counts
          FROM parsed OFFSET 0
        ) counted
      ),
      change AS (
        SELECT seq, version, id, name, contradicts, member, was, becomes,
          counts AND (
            name NOT IN ('user_renamed', 'user_password_changed') AND jsonb_strip_nulls(old) = jsonb_strip_nulls(new)
            OR name IN ('revoked', 'superseded') AND new ->> 'revoked_at' IS NULL) AS hollow,
          coalesce(lag(becomes) OVER of_member, 'null') AS before, lead(seq) OVER of_member IS NULL AS last
        FROM event
        LEFT JOIN LATERAL jsonb_object_keys(old || new) member ON true
        CROSS JOIN LATERAL (SELECT coalesce(old -> member, 'null') AS was, coalesce(new -> member, 'null') AS becomes) said
        WINDOW of_member AS (PARTITION BY version, id, member COLLATE "C" ORDER BY seq)
      ),
      noted AS MATERIALIZED (
        SELECT *, coalesce('signing key ' || version, 'user ' || id) AS thing
        FROM change WHERE contradicts OR hollow OR was <> before OR last AND becomes <> 'null'
      ),
      outcome AS (
        SELECT version, id, thing, member, seq, becomes FROM noted WHERE last AND becomes <> 'null'
      ),
      today AS (
        SELECT k.version, NULL::uuid AS id, 'signing key ' || k.version AS thing, fact.key AS member, fact.value
        FROM audit.signing_keys k CROSS JOIN LATERAL jsonb_each(jsonb_strip_nulls(to_jsonb(k))) fact
        UNION ALL
        SELECT NULL, u.id, 'user ' || u.id, fact.key, fact.value
        FROM audit.users u CROSS JOIN LATERAL jsonb_each(jsonb_strip_nulls(jsonb_build_object(
          'roles', u.roles, 'disabled_at', u.disabled_at, 'ver', u.ver, 'reset_at', u.reset_at))) fact
      )
      SELECT misfit.seq, misfit.version, misfit.id, misfit.words INTO seq, version, user_id, problem
        FROM (
          SELECT 1 AS step, seq, NULL::integer AS version, NULL::uuid AS id, '' AS member,
            format('row %s: its columns do not say what its entry says', seq) AS words
          FROM noted WHERE contradicts
          UNION ALL
          SELECT 2, seq, version, id, member,
            format('row %s says that %s of %s was %s, but the rows before it say %s', seq, member, thing, was, before)
          FROM noted WHERE was <> before
          UNION ALL
          SELECT 2, seq, version, id, '', format('row %s says %s of %s, but changes nothing of it', seq, name, thing)
          FROM noted WHERE hollow
          UNION ALL
          SELECT 3, NULL, coalesce(outcome.version, today.version), coalesce(outcome.id, today.id), member,
            CASE
              WHEN outcome.becomes IS NULL AND member IN ('version', 'ver') THEN format('%s is there, but history does not know it', thing)
              WHEN today.value IS NULL AND member IN ('version', 'ver') THEN format('%s is gone, but history does not say so', thing)
              ELSE format('%s: %s is %s, but history says %s', thing, member, coalesce(today.value, 'null'),
                coalesce(format('%s (row %s)', outcome.becomes, outcome.seq), 'null'))
            END
          FROM outcome FULL JOIN today USING (thing, member)
          WHERE outcome.becomes IS DISTINCT FROM today.value
        ) misfit
        ORDER BY step, misfit.seq, misfit.version NULLS LAST, misfit.id, misfit.member IN ('version', 'ver') DESC, misfit.member
        LIMIT 1;
      IF FOUND THEN RETURN; END IF;
      ok := true;
    EXCEPTION WHEN data_exception THEN
      -- An entry that cannot be read at all: which?
      FOR line IN SELECT chain.seq, chain.entry FROM audit.chain ORDER BY chain.seq LOOP
        BEGIN
          PERFORM (said ->> 'at')::timestamptz, (said ->> 'version')::integer, (said ->> 'subject')::uuid, (said ->> 'actor')::uuid
            FROM (SELECT line.entry::jsonb AS said) parsed;
        EXCEPTION WHEN data_exception THEN
          seq := line.seq;
          problem := format('row %s is not an entry that Keyturn writes', line.seq);
          RETURN;
        END;
      END LOOP;
      RAISE;
    END $function$;
COMMENT ON FUNCTION audit.verify_history() IS 'Is the history whole? Every hash and link is computed again, every checkpoint is looked up, and the events folded from the beginning must give all of signing_keys, and the id, roles, standing and ver of users, as they are. One row: ok, or the problem and the first row (seq), signing key (version) or user (user_id) that does not fit. A checkpoint must name a key that signed then; whether that key did sign it: keyturn audit verify.';
GRANT EXECUTE ON FUNCTION audit.verify_history() TO keyturn_app;
GRANT EXECUTE ON FUNCTION audit.verify_history() TO keyturn_auditor;

-- ## function keyturn.append_history(text,integer,text,uuid,text,jsonb,jsonb)
CREATE OR REPLACE FUNCTION keyturn.append_history(event text, version integer, kid text, subject uuid, reason text, before jsonb, after jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET "IntervalStyle" TO 'postgres'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.append_history(text,integer,text,uuid,text,jsonb,jsonb) IS 'Links one event to the chain. Called by triggers that hold the lock of keyturn.begin_change().';

-- ## function keyturn.begin_change()
CREATE OR REPLACE FUNCTION keyturn.begin_change()
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
        DECLARE
          now_here timestamptz;
        BEGIN
          -- The lock is the row below: unlike an advisory lock, which anyone may take and keep, only we can take it.
          -- The advisory lock (1801812340 is 'keyt' in ASCII) only shows in pg_locks who is changing something.
          PERFORM pg_try_advisory_xact_lock(1801812340);
          SELECT instant INTO now_here FROM keyturn.current_change WHERE transaction_id = pg_current_xact_id();
          IF NOT FOUND THEN
            UPDATE keyturn.current_change SET transaction_id = pg_current_xact_id(), instant = keyturn.clock()
              RETURNING instant INTO now_here;
          END IF;
          RETURN now_here;
        END $function$;
COMMENT ON FUNCTION keyturn.begin_change() IS 'Takes the one lock that every change of keys, users and history takes, and returns the instant of this transaction. Read what you decide by in a later statement.';
GRANT EXECUTE ON FUNCTION keyturn.begin_change() TO keyturn_app;

-- ## function keyturn.changed_members(jsonb,jsonb)
CREATE OR REPLACE FUNCTION keyturn.changed_members(before jsonb, after jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
      SELECT coalesce(pg_catalog.jsonb_object_agg(b.key, b.value), '{}')
      FROM pg_catalog.jsonb_each(before) b
      WHERE b.value IS DISTINCT FROM after -> b.key
    $function$;
COMMENT ON FUNCTION keyturn.changed_members(jsonb,jsonb) IS 'The members of the first object that differ in the second.';

-- ## function keyturn.clock()
CREATE OR REPLACE FUNCTION keyturn.clock()
 RETURNS timestamp with time zone
 LANGUAGE sql
 PARALLEL SAFE
AS $function$ SELECT pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp()) $function$;
COMMENT ON FUNCTION keyturn.clock() IS 'The only clock that facts are stamped with. Milliseconds, so that a JavaScript Date holds it exactly.';
GRANT EXECUTE ON FUNCTION keyturn.clock() TO keyturn_app;
GRANT EXECUTE ON FUNCTION keyturn.clock() TO keyturn_auditor;

-- ## function keyturn.destroy_private_half()
CREATE OR REPLACE FUNCTION keyturn.destroy_private_half()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      DELETE FROM keyturn.signing_key_secrets WHERE version = NEW.version;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.destroy_private_half() IS 'The act that goes with the fact private_key_destroyed_at.';

-- ## function keyturn.end_sessions_of_disabled()
CREATE OR REPLACE FUNCTION keyturn.end_sessions_of_disabled()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      UPDATE keyturn.sessions SET ended_at = keyturn.clock(), end_reason = 'disabled'
        WHERE user_id = NEW.id AND ended_at IS NULL;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.end_sessions_of_disabled() IS 'Disabling a user ends every session, by whoever''s hand.';

-- ## function keyturn.entry_instant(text)
CREATE OR REPLACE FUNCTION keyturn.entry_instant(entry text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT (entry::pg_catalog.jsonb ->> 'at')::pg_catalog.timestamptz $function$;
COMMENT ON FUNCTION keyturn.entry_instant(text) IS 'The instant of a history entry. Immutable, because entries write it in UTC with its zone.';

-- ## function keyturn.forget_logins()
CREATE OR REPLACE FUNCTION keyturn.forget_logins()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      UPDATE keyturn.login_events SET username_tried = NULL, address = NULL, user_agent = NULL WHERE user_id = OLD.id;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.forget_logins() IS 'Erasing a user takes name, address and agent out of their logins; that there were logins, when, and how they ended stays. Detached months are not searched: they are dropped within 30 days.';

-- ## function keyturn.guard_checkpoint()
CREATE OR REPLACE FUNCTION keyturn.guard_checkpoint()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      IF NOT EXISTS (
        SELECT FROM keyturn.audit_log
        WHERE seq = (keyturn.jws_part(NEW.jws, 2) ->> 'seq')::bigint AND hash = keyturn.jws_part(NEW.jws, 2) ->> 'hash'
      ) THEN
        RAISE EXCEPTION 'the checkpoint is not over a row of this history' USING ERRCODE = 'check_violation';
      END IF;
      IF NOT EXISTS (
        SELECT FROM keyturn.signing_keys, to_timestamp((keyturn.jws_part(NEW.jws, 2) ->> 'iat')::double precision) AS signed_at
        WHERE kid = keyturn.jws_part(NEW.jws, 1) ->> 'kid' AND signs AND coalesce(activates_at < least(retires_at, revoked_at), true)
          AND signed_at >= activates_at - interval '2 minutes'
          AND coalesce(signed_at <= least(retires_at, revoked_at) + interval '2 minutes', true)
      ) THEN
        RAISE EXCEPTION 'the checkpoint names no key that signed then' USING ERRCODE = 'check_violation';
      END IF;
      RETURN NEW;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_checkpoint() IS 'Refuses a checkpoint over a row that is not there, or under a key that did not sign then. Clocks may differ by two minutes.';

-- ## function keyturn.guard_history_insert()
CREATE OR REPLACE FUNCTION keyturn.guard_history_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'history is written by the triggers of the tables it watches, by nobody else'
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN NEW;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_history_insert() IS 'Refuses a row that no trigger wrote.';

-- ## function keyturn.guard_session()
CREATE OR REPLACE FUNCTION keyturn.guard_session()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.guard_session() IS 'An ended session stays ended; its end is stamped by the database; its limit is never extended.';

-- ## function keyturn.guard_session_delete()
CREATE OR REPLACE FUNCTION keyturn.guard_session_delete()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      IF least(OLD.ended_at, OLD.expires_at) > keyturn.clock() - interval '24 hours'
         AND EXISTS (SELECT FROM keyturn.users WHERE id = OLD.user_id) THEN
        RAISE EXCEPTION 'end session % instead: its row may go a day after it is over, when every server has heard of it', OLD.id
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN OLD;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_session_delete() IS 'No server would hear of a session that just vanishes. Erasing its user takes it along: of that they hear.';

-- ## function keyturn.guard_signing_key_insert()
CREATE OR REPLACE FUNCTION keyturn.guard_signing_key_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      instant timestamptz := keyturn.begin_change();
      expected integer;
    BEGIN
      SELECT coalesce(max(version), 0) + 1 INTO expected FROM keyturn.signing_keys;
      IF NEW.version <> expected THEN
        RAISE EXCEPTION 'the next signing key is version %, not %', expected, NEW.version USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.activation NOT IN ('bootstrap', 'scheduled', 'emergency')
         OR NEW.activation = 'bootstrap' AND EXISTS (SELECT FROM keyturn.signing_keys WHERE signs)
         OR NEW.activation = 'emergency' AND (
           NOT EXISTS (SELECT FROM keyturn.signing_keys WHERE signs)
           OR EXISTS (
             SELECT FROM keyturn.signing_keys WHERE signs AND revoked_at IS NULL AND tstzrange(activates_at, retires_at) @> instant
           )
         ) THEN
        RAISE EXCEPTION 'a new key does not begin as %', NEW.activation USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.signs AND NEW.activates_at < instant THEN
        RAISE EXCEPTION 'a signing window cannot begin in the past' USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.revoked_at IS NOT NULL OR NEW.private_key_destroyed_at IS NOT NULL THEN
        RAISE EXCEPTION 'a new key can be neither revoked nor destroyed' USING ERRCODE = 'check_violation';
      END IF;
      IF EXISTS (
        SELECT FROM keyturn.signing_keys k
        WHERE (k.thumbprint = NEW.thumbprint OR k.version IN (SELECT keyturn.same_pair(NEW.renewed_from)))
          AND k.revoked_at IS NOT NULL AND k.revocation_reason <> 'superseded'
      ) THEN
        RAISE EXCEPTION 'this key pair was revoked and never comes back' USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.renewed_from IS NOT NULL AND NOT EXISTS (
        SELECT FROM keyturn.signing_keys k
        WHERE k.version = NEW.renewed_from AND k.thumbprint IS NOT DISTINCT FROM NEW.thumbprint AND k.algorithm = NEW.algorithm
      ) THEN
        RAISE EXCEPTION 'a renewed key carries the pair and the algorithm of the version it renews' USING ERRCODE = 'check_violation';
      END IF;
      -- Said here, before history is written, so that no ON CONFLICT can skip the row and keep its event.
      IF EXISTS (SELECT FROM keyturn.signing_keys WHERE kid = NEW.kid) THEN
        RAISE EXCEPTION 'kid % is taken', NEW.kid USING ERRCODE = 'unique_violation', CONSTRAINT = 'uq_signing_keys_kid';
      END IF;
      NEW.published_at := instant;
      RETURN NEW;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_signing_key_insert() IS 'Versions without gaps, no window in the past, no revoked pair again; published_at is the database''s to say.';

-- ## function keyturn.guard_signing_key_secret()
CREATE OR REPLACE FUNCTION keyturn.guard_signing_key_secret()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      destroyed_at timestamptz;
    BEGIN
      SELECT private_key_destroyed_at INTO destroyed_at FROM keyturn.signing_keys
        WHERE version = CASE TG_OP WHEN 'DELETE' THEN OLD.version ELSE NEW.version END;
      IF TG_OP = 'DELETE' THEN
        IF destroyed_at IS NULL THEN
          RAISE EXCEPTION 'set private_key_destroyed_at of version % instead: the row goes with it', OLD.version
            USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN OLD;
      END IF;
      IF destroyed_at IS NOT NULL OR (TG_OP = 'UPDATE' AND NEW.version <> OLD.version) THEN
        RAISE EXCEPTION 'a destroyed private half stays destroyed, and none changes its owner' USING ERRCODE = 'check_violation';
      END IF;
      RETURN NEW;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_signing_key_secret() IS 'A private half is deleted by saying so on its key, so that the fact and the act are one.';

-- ## function keyturn.guard_signing_key_update()
CREATE OR REPLACE FUNCTION keyturn.guard_signing_key_update()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      instant timestamptz := keyturn.begin_change();
    BEGIN
      IF (NEW.version, NEW.kid, NEW.algorithm, NEW.signs, NEW.origin, NEW.renewed_from, NEW.public_jwk, NEW.thumbprint,
          NEW.published_at, NEW.lead, NEW.max_token_ttl, NEW.verify_tail)
         IS DISTINCT FROM
         (OLD.version, OLD.kid, OLD.algorithm, OLD.signs, OLD.origin, OLD.renewed_from, OLD.public_jwk, OLD.thumbprint,
          OLD.published_at, OLD.lead, OLD.max_token_ttl, OLD.verify_tail) THEN
        RAISE EXCEPTION 'key %: kid, algorithm, public half, publication and policy never change', OLD.kid
          USING ERRCODE = 'check_violation';
      END IF;

      IF OLD.private_key_destroyed_at IS NOT NULL AND NEW.private_key_destroyed_at IS DISTINCT FROM OLD.private_key_destroyed_at THEN
        RAISE EXCEPTION 'key %: a destroyed private half stays destroyed', OLD.kid USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.private_key_destroyed_at IS DISTINCT FROM OLD.private_key_destroyed_at THEN
        NEW.private_key_destroyed_at := instant;
      END IF;

      IF OLD.revoked_at IS NOT NULL THEN
        IF (NEW.activation, NEW.activates_at, NEW.retires_at, NEW.expires_at, NEW.revoked_at, NEW.revocation_reason)
           IS DISTINCT FROM
           (OLD.activation, OLD.activates_at, OLD.retires_at, OLD.expires_at, OLD.revoked_at, OLD.revocation_reason) THEN
          RAISE EXCEPTION 'key %: a revocation is final', OLD.kid USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
      END IF;

      IF NEW.revoked_at IS NOT NULL THEN
        NEW.activation := OLD.activation;
        NEW.activates_at := OLD.activates_at;
        NEW.revoked_at := instant;
        NEW.retires_at := greatest(OLD.activates_at, least(OLD.retires_at, instant));
        NEW.expires_at := coalesce(OLD.expires_at, NEW.retires_at + OLD.verify_tail);
        RETURN NEW;
      END IF;

      IF NEW.activation <> OLD.activation AND (
           NEW.activation = 'bootstrap'
           OR NEW.activation = 'emergency' AND pg_trigger_depth() < 2 AND EXISTS (
             -- One that ends at this very instant signs too, or a hand could end it in the same statement.
             SELECT FROM keyturn.signing_keys WHERE signs AND revoked_at IS NULL AND private_key_destroyed_at IS NULL
               AND tstzrange(activates_at, retires_at, '[]') @> instant
           )
         ) THEN
        RAISE EXCEPTION 'key %: a takeover by hand is early or forced, while another signs', OLD.kid USING ERRCODE = 'check_violation';
      END IF;
      IF (NEW.activation, NEW.activates_at) IS DISTINCT FROM (OLD.activation, OLD.activates_at)
         AND (OLD.activates_at <= instant OR NEW.activates_at < instant) THEN
        RAISE EXCEPTION 'key %: a takeover that has passed stays, and none can be moved into the past', OLD.kid
          USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.retires_at IS DISTINCT FROM OLD.retires_at AND (OLD.retires_at <= instant OR NEW.retires_at < instant) THEN
        RAISE EXCEPTION 'key %: the end of a signing window that has passed stays, and none can be moved into the past', OLD.kid
          USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.retires_at = instant AND OLD.retires_at IS DISTINCT FROM instant AND NOT EXISTS (
        SELECT FROM keyturn.signing_keys
        WHERE signs AND revoked_at IS NULL AND version <> OLD.version AND activates_at >= instant AND NOT keyturn.is_shut(version)
      ) THEN
        RAISE EXCEPTION 'key %: it signs on until another takes over that a server opens; only a revocation leaves nobody to sign', OLD.kid
          USING ERRCODE = 'check_violation';
      END IF;
      IF NEW.expires_at IS DISTINCT FROM OLD.expires_at AND (OLD.expires_at <= instant OR NEW.expires_at < instant) THEN
        RAISE EXCEPTION 'key %: an expiry that has passed stays, and none can be moved into the past', OLD.kid
          USING ERRCODE = 'check_violation';
      END IF;
      RETURN NEW;
    END $function$;
COMMENT ON FUNCTION keyturn.guard_signing_key_update() IS 'Facts stay: what has passed is immutable, what lies ahead may move. A revocation stamps itself and closes its own window.';

-- ## function keyturn.guard_user()
CREATE OR REPLACE FUNCTION keyturn.guard_user()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.guard_user() IS 'Raises ver whenever roles or standing change, by whoever''s hand, so that every token issued before is refused.';

-- ## function keyturn.in_words(timestamp with time zone)
CREATE OR REPLACE FUNCTION keyturn.in_words(instant timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ SELECT pg_catalog.to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') $function$;
COMMENT ON FUNCTION keyturn.in_words(timestamp with time zone) IS 'An instant as a person reads it.';
GRANT EXECUTE ON FUNCTION keyturn.in_words(timestamp with time zone) TO keyturn_app;
GRANT EXECUTE ON FUNCTION keyturn.in_words(timestamp with time zone) TO keyturn_auditor;

-- ## function keyturn.incarnation_number()
CREATE OR REPLACE FUNCTION keyturn.incarnation_number()
 RETURNS bigint
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ SELECT number FROM keyturn.incarnation $function$;
COMMENT ON FUNCTION keyturn.incarnation_number() IS 'What a session or code that begins now is numbered with.';
GRANT EXECUTE ON FUNCTION keyturn.incarnation_number() TO keyturn_app;

-- ## function keyturn.is_live(timestamp with time zone)
CREATE OR REPLACE FUNCTION keyturn.is_live(last_seen_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ SELECT last_seen_at BETWEEN keyturn.clock() - interval '15 seconds' AND keyturn.clock() + interval '15 seconds' $function$;
COMMENT ON FUNCTION keyturn.is_live(timestamp with time zone) IS 'Is a server that was seen then counted on? It says that it lives every 5 seconds. One seen in the time to come was seen before the clock was set back, and has not been heard of since.';
GRANT EXECUTE ON FUNCTION keyturn.is_live(timestamp with time zone) TO keyturn_app;

-- ## function keyturn.is_restored()
CREATE OR REPLACE FUNCTION keyturn.is_restored()
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ SELECT NOT EXISTS (SELECT FROM keyturn.incarnation WHERE xmin = written_by::xid) $function$;
COMMENT ON FUNCTION keyturn.is_restored() IS 'Do these rows come from a dump (or logical replication), and was that not reconciled since? A physical copy does not know.';
GRANT EXECUTE ON FUNCTION keyturn.is_restored() TO keyturn_app;

-- ## function keyturn.is_shut(integer)
CREATE OR REPLACE FUNCTION keyturn.is_shut(of_version integer)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
      SELECT coalesce(bool_or(of_version = ANY (shut)) AND NOT bool_or(of_version = ANY (opens)), false)
      FROM keyturn.replicas WHERE keyturn.is_live(last_seen_at)
    $function$;
COMMENT ON FUNCTION keyturn.is_shut(integer) IS 'Does a live server fail to open the private half of this version, and does none open it? Where no live server has tried nothing is known, and it is not called shut.';
GRANT EXECUTE ON FUNCTION keyturn.is_shut(integer) TO keyturn_app;

-- ## function keyturn.jws_part(text,integer)
CREATE OR REPLACE FUNCTION keyturn.jws_part(jws text, part integer)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
      SELECT pg_catalog.convert_from(
        pg_catalog.decode(
          pg_catalog.rpad(encoded, (pg_catalog.length(encoded) + 3) / 4 * 4, '='),
          'base64'
        ), 'UTF8')::pg_catalog.jsonb
      FROM (SELECT pg_catalog.translate(pg_catalog.split_part(jws, '.', part), '-_', '+/') AS encoded) segment
    $function$;
COMMENT ON FUNCTION keyturn.jws_part(text,integer) IS 'What a compact JWS (RFC 7515) says, unverified: 1 its header, 2 its payload.';
GRANT EXECUTE ON FUNCTION keyturn.jws_part(text,integer) TO keyturn_app;

-- ## function keyturn.keep_login_partitions(keyturn.duration)
CREATE OR REPLACE FUNCTION keyturn.keep_login_partitions(keep keyturn.duration)
 RETURNS TABLE(partition text, what text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET lock_timeout TO '2s'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.keep_login_partitions(keyturn.duration) IS 'Makes the partitions of this month and the next two, detaches months that ended longer than keep (30 days at least) ago, and drops what was detached 30 days ago. To keep a month, rename its detached table. Called by every server, daily; returns what was done.';
GRANT EXECUTE ON FUNCTION keyturn.keep_login_partitions(keyturn.duration) TO keyturn_app;

-- ## function keyturn.key_generation()
CREATE OR REPLACE FUNCTION keyturn.key_generation()
 RETURNS bigint
 LANGUAGE sql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ SELECT coalesce(max(seq), 0) FROM keyturn.audit_log WHERE version IS NOT NULL $function$;
COMMENT ON FUNCTION keyturn.key_generation() IS 'seq of the newest key event: whoever has loaded less must load again.';
GRANT EXECUTE ON FUNCTION keyturn.key_generation() TO keyturn_app;

-- ## function keyturn.key_state(timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone)
CREATE OR REPLACE FUNCTION keyturn.key_state(activates_at timestamp with time zone, retires_at timestamp with time zone, expires_at timestamp with time zone, revoked_at timestamp with time zone, at_instant timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
      SELECT CASE
        WHEN revoked_at <= at_instant THEN 'revoked'
        WHEN at_instant < activates_at THEN 'pending'
        WHEN retires_at IS NULL OR at_instant < retires_at THEN 'active'
        WHEN expires_at IS NULL OR at_instant < expires_at THEN 'retiring'
        ELSE 'expired'
      END
    $function$;
COMMENT ON FUNCTION keyturn.key_state(timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone) IS 'The state of a key at an instant is a function of its timestamps. Nothing stores it, no job flips it.';
GRANT EXECUTE ON FUNCTION keyturn.key_state(timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone) TO keyturn_app;
GRANT EXECUTE ON FUNCTION keyturn.key_state(timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone,timestamp with time zone) TO keyturn_auditor;

-- ## function keyturn.mend_signing_windows()
CREATE OR REPLACE FUNCTION keyturn.mend_signing_windows()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      instant timestamptz := keyturn.begin_change();
    BEGIN
      -- A leaked pair is dead under every kid it ever had.
      UPDATE keyturn.signing_keys sibling SET revoked_at = instant, revocation_reason = leaked.revocation_reason
        FROM keyturn.signing_keys leaked
        WHERE leaked.revoked_at = instant AND leaked.revocation_reason <> 'superseded'
          AND sibling.revoked_at IS NULL AND sibling.version IN (SELECT keyturn.same_pair(leaked.version));

      -- Nobody signs any more: the standby, which every cache knows, takes over now. One that no server opens would not sign either, and
      -- would have to be revoked before another could.
      IF NOT EXISTS (
        SELECT FROM keyturn.signing_keys WHERE signs AND tstzrange(activates_at, retires_at) @> instant
      ) THEN
        UPDATE keyturn.signing_keys SET activates_at = instant, activation = 'emergency'
          WHERE version = (
            SELECT version FROM keyturn.signing_keys
            WHERE signs AND revoked_at IS NULL AND activates_at > instant AND NOT keyturn.is_shut(version)
            ORDER BY activates_at LIMIT 1
          );
      END IF;

      -- Windows meet end to start; the last one is open until a successor is due.
      WITH ahead AS (
        SELECT version, retires_at, lead(activates_at) OVER (ORDER BY activates_at) AS due
        FROM keyturn.signing_keys
        WHERE signs AND revoked_at IS NULL AND (retires_at IS NULL OR retires_at > instant)
      )
      UPDATE keyturn.signing_keys k SET retires_at = ahead.due, expires_at = ahead.due + k.verify_tail
        FROM ahead WHERE k.version = ahead.version AND ahead.retires_at IS DISTINCT FROM ahead.due;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.mend_signing_windows() IS 'After any statement, by whoever''s hand: a revoked pair is dead everywhere, the standby takes over where nobody signs and a server may open it, and signing windows meet end to start.';

-- ## function keyturn.news(bigint,text,pg_snapshot)
CREATE OR REPLACE FUNCTION keyturn.news(since_seq bigint, since_hash text, since pg_snapshot, OUT clock timestamp with time zone, OUT seen pg_snapshot, OUT key_generation bigint, OUT head_seq bigint, OUT head_hash text, OUT changed_users uuid[], OUT ended_sessions uuid[], OUT rewound boolean, OUT missed boolean, OUT restored boolean, OUT incarnation bigint, OUT server_started timestamp with time zone)
 RETURNS record
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
          SELECT
            keyturn.clock(),
            here,
            keyturn.key_generation(),
            coalesce(head.seq, 0),
            coalesce(head.hash, ''),
            ARRAY(SELECT DISTINCT subject FROM keyturn.audit_log WHERE seq > since_seq AND subject IS NOT NULL),
            ARRAY(
              -- Begun since; numbers from beyond the newest are those of another cluster, from which the rows were restored.
              SELECT id FROM keyturn.sessions WHERE ended_in >= pg_snapshot_xmax(since) AND ended_in < pg_snapshot_xmax(here)
              UNION ALL
              -- Under way then. BETWEEN, since a transaction that ended thousands of sessions would make the planner shun the index for =.
              SELECT id FROM pg_snapshot_xip(since) running JOIN keyturn.sessions ON ended_in BETWEEN running AND running
            ),
            since_seq > 0 AND NOT EXISTS (SELECT FROM keyturn.audit_log WHERE seq = since_seq AND hash = since_hash),
            coalesce(pg_snapshot_xmax(here) < pg_snapshot_xmax(since), false),
            keyturn.is_restored(),
            keyturn.incarnation_number(),
            pg_postmaster_start_time()
          FROM pg_current_snapshot() here
          LEFT JOIN (SELECT seq, hash FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1) head ON true
        $function$;
COMMENT ON FUNCTION keyturn.news(bigint,text,pg_snapshot) IS 'What has changed since the last answer: the generation of the key set, users changed after its newest event, and sessions ended by transactions that its snapshot did not see, each told once, whenever they were committed. rewound: that event is not in this history. missed: this is another cluster, or one that crashed; what was remembered is worth nothing. restored: these rows come from a dump and were not reconciled. incarnation: its number; when it rises all sessions may be over. server_started: another one is another server, such as a standby that took over and may use the same transaction numbers again.';
GRANT EXECUTE ON FUNCTION keyturn.news(bigint,text,pg_snapshot) TO keyturn_app;

-- ## function keyturn.reconcile(text,boolean,bigint)
CREATE OR REPLACE FUNCTION keyturn.reconcile(why text, keep boolean, heard bigint DEFAULT NULL::bigint, OUT done boolean, OUT keys bigint)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      instant timestamptz := keyturn.begin_change();
      next_number bigint;
    BEGIN
      keys := 0;
      -- By numbers, not by clocks: the copy may lie on a machine whose clock is behind.
      done := heard IS NULL OR keyturn.is_restored() OR NOT EXISTS (SELECT FROM keyturn.incarnation WHERE number > heard);
      IF NOT done THEN RETURN; END IF;
      next_number := 1 + greatest(heard, coalesce(
        (SELECT number FROM keyturn.incarnation),
        -- The row was left out of the dump.
        (SELECT max(incarnation) FROM (SELECT incarnation FROM keyturn.sessions UNION ALL SELECT incarnation FROM keyturn.one_time_codes) every),
        0));
      IF NOT keep THEN
        -- What was revoked, ended or spent after the copy was made is not known here. Sessions and codes are over by lives_from.
        UPDATE keyturn.signing_keys SET revoked_at = instant, revocation_reason = why
          WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > instant);
        GET DIAGNOSTICS keys = ROW_COUNT;
      END IF;
      INSERT INTO keyturn.incarnation AS i (written_by, number, lives_from, since, reason, kept)
        VALUES (pg_current_xact_id(), next_number, CASE WHEN keep THEN 1 ELSE next_number END, instant, why, keep)
        ON CONFLICT ON CONSTRAINT pk_incarnation
        DO UPDATE SET written_by = excluded.written_by, number = excluded.number, since = excluded.since, reason = excluded.reason,
          kept = excluded.kept, lives_from = greatest(i.lives_from, excluded.lives_from);
      IF keyturn.is_restored() THEN
        RAISE EXCEPTION 'reconcile outside of any savepoint' USING ERRCODE = 'invalid_transaction_state';
      END IF;
    END $function$;
COMMENT ON FUNCTION keyturn.reconcile(text,boolean,bigint) IS 'After an older copy of the database was restored: revokes every key that lives, ends every session and voids every code by one row, and says so in history; keep: only the last, where it is known that nothing was lost. A server makes new keys at once. heard: the incarnation that the caller knew; nothing is done when this is a later one.';
GRANT EXECUTE ON FUNCTION keyturn.reconcile(text,boolean,bigint) TO keyturn_app;

-- ## function keyturn.record_account_change()
CREATE OR REPLACE FUNCTION keyturn.record_account_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      IF NEW.username <> OLD.username THEN
        PERFORM keyturn.append_history('user_renamed', NULL, NULL, NEW.id, NULL, '{}', '{}');
      END IF;
      IF NEW.password_changed_at IS DISTINCT FROM OLD.password_changed_at THEN
        PERFORM keyturn.append_history('user_password_changed', NULL, NULL, NEW.id, NULL, '{}', '{}');
      END IF;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.record_account_change() IS 'Writes that a user was renamed or got a new password: that it happened, neither the name nor the password.';

-- ## function keyturn.record_ended_sessions()
CREATE OR REPLACE FUNCTION keyturn.record_ended_sessions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      ended record;
    BEGIN
      FOR ended IN
        SELECT user_id, count(*) AS sessions FROM updated
        WHERE end_reason IN ('administrator', 'by_hand') GROUP BY user_id ORDER BY user_id
      LOOP
        PERFORM keyturn.append_history('user_sessions_ended', NULL, NULL, ended.user_id, NULL,
          '{}', jsonb_build_object('sessions', ended.sessions));
      END LOOP;
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.record_ended_sessions() IS 'Writes that an administrator, or somebody by hand, ended sessions of a user, and how many. What ends with the person''s own act, or with another event of history, is not written again.';

-- ## function keyturn.record_key_change()
CREATE OR REPLACE FUNCTION keyturn.record_key_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET "IntervalStyle" TO 'postgres'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.record_key_change() IS 'Writes the history of signing keys.';

-- ## function keyturn.record_reconciliation()
CREATE OR REPLACE FUNCTION keyturn.record_reconciliation()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    BEGIN
      PERFORM keyturn.append_history('reconciled', NULL, NULL, NULL, NEW.reason, NULL, jsonb_build_object('kept', NEW.kept));
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.record_reconciliation() IS 'Writes into history that a restored database was reconciled.';

-- ## function keyturn.record_reseal()
CREATE OR REPLACE FUNCTION keyturn.record_reseal()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    DECLARE
      key_id text;
    BEGIN
      SELECT kid INTO key_id FROM keyturn.signing_keys WHERE version = NEW.version;
      PERFORM keyturn.append_history('resealed', NEW.version, key_id, NULL, NULL,
        jsonb_build_object('kek_id', OLD.kek_id), jsonb_build_object('kek_id', NEW.kek_id));
      RETURN NULL;
    END $function$;
COMMENT ON FUNCTION keyturn.record_reseal() IS 'Writes that a private half was sealed again, and under which key-encryption key.';

-- ## function keyturn.record_user_change()
CREATE OR REPLACE FUNCTION keyturn.record_user_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET "IntervalStyle" TO 'postgres'
AS $function$
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
    END $function$;
COMMENT ON FUNCTION keyturn.record_user_change() IS 'Writes the history of users: roles, standing and ver, no names.';

-- ## function keyturn.refuse_change()
CREATE OR REPLACE FUNCTION keyturn.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
        BEGIN
          RAISE EXCEPTION '% on %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege';
        END $function$;
COMMENT ON FUNCTION keyturn.refuse_change() IS 'Refuses the statement to everybody, the owner too. The argument says why.';

-- ## function keyturn.restore_backup(jsonb,boolean)
CREATE OR REPLACE FUNCTION keyturn.restore_backup(bundle jsonb, keep_keys boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
 SET "IntervalStyle" TO 'postgres'
AS $function$
        DECLARE
          instant timestamptz := keyturn.begin_change();
          verdict record;
        BEGIN
          IF EXISTS (SELECT FROM keyturn.signing_keys) OR EXISTS (SELECT FROM keyturn.users) OR EXISTS (SELECT FROM keyturn.audit_log) THEN
            RAISE EXCEPTION 'a backup is restored only where there are no keys, no users and no history' USING ERRCODE = 'object_not_in_prerequisite_state';
          END IF;
          -- Rows are facts of another time: the guards and recorders of this one would rewrite them.
          ALTER TABLE keyturn.signing_keys DISABLE TRIGGER USER;
          ALTER TABLE keyturn.signing_key_secrets DISABLE TRIGGER USER;
          ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER;
          INSERT INTO keyturn.signing_keys
            SELECT (jsonb_populate_record(NULL::keyturn.signing_keys, row_as_json)).* FROM jsonb_array_elements(bundle -> 'keys') row_as_json;
          INSERT INTO keyturn.signing_key_secrets (version, kek_id, sealed)
            SELECT (s ->> 'version')::integer, s ->> 'kek_id', decode(s ->> 'sealed', 'base64') FROM jsonb_array_elements(bundle -> 'secrets') s;
          INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
            SELECT (h ->> 'seq')::bigint, h ->> 'prev_hash', h ->> 'entry', h ->> 'hash' FROM jsonb_array_elements(bundle -> 'history') h;
          PERFORM keyturn.append_history('restored', NULL, NULL, NULL, NULL, NULL, jsonb_build_object('taken_at', bundle ->> 'taken_at'));
          ALTER TABLE keyturn.audit_log ENABLE TRIGGER USER;
          ALTER TABLE keyturn.signing_key_secrets ENABLE TRIGGER USER;
          ALTER TABLE keyturn.signing_keys ENABLE TRIGGER USER;

          SELECT * INTO verdict FROM audit.verify_history();
          IF NOT verdict.ok THEN
            RAISE EXCEPTION 'the backup does not verify: %', verdict.problem USING ERRCODE = 'data_corrupted';
          END IF;

          -- What was revoked after the backup was taken is not known here: nothing revoked may revive.
          IF NOT keep_keys THEN
            UPDATE keyturn.signing_keys SET revoked_at = instant, revocation_reason = 'restored from the backup of ' || (bundle ->> 'taken_at')
              WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > instant);
          END IF;
        END $function$;
COMMENT ON FUNCTION keyturn.restore_backup(jsonb,boolean) IS 'Writes keys, sealed halves and history verbatim where there are none, adds one event restored, and keeps them only if the history verifies. Unless keys are to be kept, every restored key is revoked. For keyturn_owner, through the migrator.';

-- ## function keyturn.same_pair(integer)
CREATE OR REPLACE FUNCTION keyturn.same_pair(of_version integer)
 RETURNS SETOF integer
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
      WITH RECURSIVE family (version) AS (
        SELECT of_version
        UNION
        SELECT other.version
        FROM family
        JOIN keyturn.signing_keys member ON member.version = family.version
        JOIN keyturn.signing_keys other
          ON other.thumbprint = member.thumbprint OR other.renewed_from = member.version OR other.version = member.renewed_from
      )
      SELECT version FROM family
    $function$;
COMMENT ON FUNCTION keyturn.same_pair(integer) IS 'Every version that holds the same key material: by thumbprint, or for HMAC, which has none, through renewed_from.';

-- ## function keyturn.stamp_current_change()
CREATE OR REPLACE FUNCTION keyturn.stamp_current_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
        BEGIN
          NEW.transaction_id := pg_current_xact_id();
          NEW.instant := CASE WHEN OLD.transaction_id = NEW.transaction_id THEN OLD.instant ELSE keyturn.clock() END;
          RETURN NEW;
        END $function$;
COMMENT ON FUNCTION keyturn.stamp_current_change() IS 'Whatever a hand writes here, the row says this transaction and the time of the clock: every guard believes it.';

-- ## function keyturn.take_attempt(bytea,integer,keyturn.duration)
CREATE OR REPLACE FUNCTION keyturn.take_attempt(bucket bytea, most integer, one_in keyturn.duration)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
        DECLARE
          now_here timestamptz := keyturn.clock();
          full_at timestamptz := now_here + most * one_in;
          found_at timestamptz;
        BEGIN
          INSERT INTO keyturn.attempt_buckets AS b (bucket_hash, empty_at) VALUES (bucket, now_here + one_in)
            ON CONFLICT ON CONSTRAINT pk_attempt_buckets DO UPDATE SET empty_at = greatest(b.empty_at, now_here) + one_in
            WHERE greatest(b.empty_at, now_here) + one_in <= full_at;
          IF FOUND THEN
            RETURN 0;
          END IF;
          -- Our statement holds the row. Whatever it says, such as after the clock was set back: nobody waits for more than one measure.
          SELECT least(empty_at, full_at) INTO found_at FROM keyturn.attempt_buckets WHERE bucket_hash = bucket;
          RETURN greatest(1, ceil(extract(epoch FROM found_at + one_in - full_at)));
        END $function$;
COMMENT ON FUNCTION keyturn.take_attempt(bytea,integer,keyturn.duration) IS 'One attempt more, of at most so many at once and one more every one_in: 0 when it is allowed, and counted; otherwise in how many seconds the next one will be, and nothing is counted.';
GRANT EXECUTE ON FUNCTION keyturn.take_attempt(bytea,integer,keyturn.duration) TO keyturn_app;

-- ## function keyturn.take_change_lock()
CREATE OR REPLACE FUNCTION keyturn.take_change_lock()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ BEGIN PERFORM keyturn.begin_change(); RETURN NULL; END $function$;
COMMENT ON FUNCTION keyturn.take_change_lock() IS 'BEFORE STATEMENT: hand edits queue like everybody else. A lock taken in a row trigger would deadlock against them.';

-- ## function keyturn.verifying(timestamp with time zone,timestamp with time zone,timestamp with time zone)
CREATE OR REPLACE FUNCTION keyturn.verifying(activates_at timestamp with time zone, expires_at timestamp with time zone, revoked_at timestamp with time zone)
 RETURNS tstzrange
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
      SELECT pg_catalog.tstzrange(activates_at,
        CASE WHEN least(expires_at, revoked_at) < activates_at THEN activates_at ELSE least(expires_at, revoked_at) END)
    $function$;
COMMENT ON FUNCTION keyturn.verifying(timestamp with time zone,timestamp with time zone,timestamp with time zone) IS 'When tokens under a key are accepted: from its activation until it expires or is revoked. Empty for one that was revoked before.';
GRANT EXECUTE ON FUNCTION keyturn.verifying(timestamp with time zone,timestamp with time zone,timestamp with time zone) TO keyturn_app;
GRANT EXECUTE ON FUNCTION keyturn.verifying(timestamp with time zone,timestamp with time zone,timestamp with time zone) TO keyturn_auditor;

-- ## table keyturn.attempt_buckets
CREATE TABLE keyturn.attempt_buckets (
  bucket_hash bytea NOT NULL,
  empty_at timestamp with time zone NOT NULL,
  CONSTRAINT ck_attempt_buckets_hash CHECK ((octet_length(bucket_hash) = 32)),
  CONSTRAINT pk_attempt_buckets PRIMARY KEY (bucket_hash)
);
COMMENT ON TABLE keyturn.attempt_buckets IS 'Leaky buckets: each attempt at a password or a code pours one measure in, and one runs out every LOGIN_ATTEMPT_INTERVAL. An empty bucket is as good as none: its row is deleted.';
COMMENT ON COLUMN keyturn.attempt_buckets.bucket_hash IS 'Whose attempts: HMAC-SHA-256 of a name and an address, a known device, a session, …, under a secret that the servers share. Nobody''s name or address can be read from it.';
COMMENT ON COLUMN keyturn.attempt_buckets.empty_at IS 'When all will have run out; how full the bucket is, is how far that lies ahead.';
CREATE INDEX ix_attempt_buckets_empty_at ON keyturn.attempt_buckets USING btree (empty_at);
COMMENT ON INDEX keyturn.ix_attempt_buckets_empty_at IS 'Finds the empty ones.';
GRANT DELETE, INSERT, SELECT ON keyturn.attempt_buckets TO keyturn_app;
GRANT UPDATE (empty_at) ON keyturn.attempt_buckets TO keyturn_app;

-- ## table keyturn.audit_checkpoints
CREATE TABLE keyturn.audit_checkpoints (
  seq bigint NOT NULL GENERATED ALWAYS AS (((keyturn.jws_part(jws, 2) ->> 'seq'::text))::bigint) STORED,
  hash text NOT NULL GENERATED ALWAYS AS ((keyturn.jws_part(jws, 2) ->> 'hash'::text)) STORED,
  jws text NOT NULL,
  signed_by text NOT NULL GENERATED ALWAYS AS ((keyturn.jws_part(jws, 1) ->> 'kid'::text)) STORED,
  signed_at timestamp with time zone NOT NULL GENERATED ALWAYS AS (to_timestamp(((keyturn.jws_part(jws, 2) ->> 'iat'::text))::double precision)) STORED,
  CONSTRAINT ck_audit_checkpoints_algorithm CHECK (COALESCE(((keyturn.jws_part(jws, 1) ->> 'alg'::text) !~~ 'HS%'::text), false)),
  CONSTRAINT ck_audit_checkpoints_hash CHECK ((hash ~ '^[0-9a-f]{64}$'::text)),
  CONSTRAINT ck_audit_checkpoints_jws CHECK (((jws ~ '^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$'::text) AND (char_length(jws) <= 4096))),
  CONSTRAINT ck_audit_checkpoints_typ CHECK (COALESCE(((keyturn.jws_part(jws, 1) ->> 'typ'::text) = 'keyturn-checkpoint+jwt'::text), false)),
  CONSTRAINT pk_audit_checkpoints PRIMARY KEY (seq)
);
COMMENT ON TABLE keyturn.audit_checkpoints IS 'Heads of the history, signed by a server soon after each event. Append-only. Keep copies elsewhere: a copy proves what this table cannot.';
COMMENT ON COLUMN keyturn.audit_checkpoints.seq IS 'The newest row of audit_log when it was signed, from jws.';
COMMENT ON COLUMN keyturn.audit_checkpoints.hash IS 'The hash of that row, from jws.';
COMMENT ON COLUMN keyturn.audit_checkpoints.jws IS 'Compact JWS (RFC 7515) with typ keyturn-checkpoint+jwt over seq, hash and iat.';
COMMENT ON COLUMN keyturn.audit_checkpoints.signed_by IS 'kid of the signing key, from jws.';
COMMENT ON COLUMN keyturn.audit_checkpoints.signed_at IS 'When it was signed, by the server''s corrected clock, from jws.';
CREATE TRIGGER tr_20_guard BEFORE INSERT ON keyturn.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION keyturn.guard_checkpoint();
CREATE TRIGGER tr_30_append_only BEFORE DELETE OR UPDATE ON keyturn.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('checkpoints are append-only');
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('checkpoints are append-only');
GRANT SELECT ON keyturn.audit_checkpoints TO keyturn_app;
GRANT INSERT (jws) ON keyturn.audit_checkpoints TO keyturn_app;

-- ## table keyturn.audit_log
CREATE TABLE keyturn.audit_log (
  seq bigint NOT NULL,
  prev_hash text NOT NULL,
  entry text NOT NULL,
  hash text NOT NULL,
  at timestamp with time zone NOT NULL GENERATED ALWAYS AS (keyturn.entry_instant(entry)) STORED,
  event text NOT NULL GENERATED ALWAYS AS (((entry)::jsonb ->> 'event'::text)) STORED,
  version integer GENERATED ALWAYS AS ((((entry)::jsonb ->> 'version'::text))::integer) STORED,
  subject uuid GENERATED ALWAYS AS ((((entry)::jsonb ->> 'subject'::text))::uuid) STORED,
  actor uuid GENERATED ALWAYS AS ((((entry)::jsonb ->> 'actor'::text))::uuid) STORED,
  CONSTRAINT ck_audit_log_event CHECK ((event = ANY (ARRAY['bootstrapped'::text, 'published'::text, 'scheduled'::text, 'taken_over_early'::text, 'taken_over_forced'::text, 'taken_over_by_emergency'::text, 'renewed'::text, 'imported'::text, 'superseded'::text, 'revoked'::text, 'private_half_destroyed'::text, 'resealed'::text, 'restored'::text, 'reconciled'::text, 'user_created'::text, 'user_roles_changed'::text, 'user_disabled'::text, 'user_enabled'::text, 'user_reset'::text, 'user_changed'::text, 'user_erased'::text, 'user_renamed'::text, 'user_password_changed'::text, 'user_sessions_ended'::text]))),
  CONSTRAINT ck_audit_log_hash CHECK ((hash = encode(sha256(convert_to((prev_hash || entry), 'UTF8'::name)), 'hex'::text))),
  CONSTRAINT ck_audit_log_prev_hash CHECK ((prev_hash ~ '^[0-9a-f]{64}$'::text)),
  CONSTRAINT ck_audit_log_seq CHECK ((seq > 0)),
  CONSTRAINT pk_audit_log PRIMARY KEY (seq),
  CONSTRAINT uq_audit_log_prev_hash UNIQUE (prev_hash)
);
COMMENT ON TABLE keyturn.audit_log IS 'One chained log of everything rare and grave: the life of keys and the administration of users. Append-only.';
COMMENT ON COLUMN keyturn.audit_log.seq IS 'Counts 1, 2, 3 … without gaps.';
COMMENT ON COLUMN keyturn.audit_log.prev_hash IS 'hash of the row before; 64 zeros for the first.';
COMMENT ON COLUMN keyturn.audit_log.entry IS 'What happened: one canonical JSON text. No names or addresses of people, never private material.';
COMMENT ON COLUMN keyturn.audit_log.hash IS 'SHA-256, in hexadecimal, of prev_hash followed by entry.';
COMMENT ON COLUMN keyturn.audit_log.at IS 'When, from entry.';
COMMENT ON COLUMN keyturn.audit_log.event IS 'What, from entry.';
COMMENT ON COLUMN keyturn.audit_log.version IS 'Which signing key, from entry. Null for events about users.';
COMMENT ON COLUMN keyturn.audit_log.subject IS 'Which user it was done to, from entry. Null for events about keys.';
COMMENT ON COLUMN keyturn.audit_log.actor IS 'Which user did it, as the application claims, from entry. Null: no user.';
CREATE INDEX ix_audit_log_actor ON keyturn.audit_log USING btree (actor, seq) WHERE (actor IS NOT NULL);
COMMENT ON INDEX keyturn.ix_audit_log_actor IS 'What one user did.';
CREATE INDEX ix_audit_log_at ON keyturn.audit_log USING btree (at);
COMMENT ON INDEX keyturn.ix_audit_log_at IS 'History by time.';
CREATE INDEX ix_audit_log_generation ON keyturn.audit_log USING btree (seq) WHERE (version IS NOT NULL);
COMMENT ON INDEX keyturn.ix_audit_log_generation IS 'The newest key event: its seq is the generation of the key set.';
CREATE INDEX ix_audit_log_key_events ON keyturn.audit_log USING btree (version, seq) WHERE (version IS NOT NULL);
COMMENT ON INDEX keyturn.ix_audit_log_key_events IS 'The history of one key.';
CREATE INDEX ix_audit_log_subject ON keyturn.audit_log USING btree (subject, seq) WHERE (subject IS NOT NULL);
COMMENT ON INDEX keyturn.ix_audit_log_subject IS 'The history of one user.';
CREATE TRIGGER tr_20_guard BEFORE INSERT ON keyturn.audit_log FOR EACH ROW EXECUTE FUNCTION keyturn.guard_history_insert();
CREATE TRIGGER tr_30_append_only BEFORE DELETE OR UPDATE ON keyturn.audit_log FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('history is append-only');
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.audit_log FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('history is append-only');
GRANT SELECT ON keyturn.audit_log TO keyturn_app;

-- ## table keyturn.current_change
CREATE TABLE keyturn.current_change (
  only_row boolean NOT NULL DEFAULT true,
  transaction_id xid8 NOT NULL,
  instant timestamp with time zone NOT NULL,
  CONSTRAINT ck_current_change_only_row CHECK (only_row),
  CONSTRAINT pk_current_change PRIMARY KEY (only_row)
);
COMMENT ON TABLE keyturn.current_change IS 'One row: the transaction that changed keys or users last, and the one instant at which all it did happened.';
COMMENT ON COLUMN keyturn.current_change.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN keyturn.current_change.transaction_id IS 'The transaction that holds, or held last, the right to change.';
COMMENT ON COLUMN keyturn.current_change.instant IS 'keyturn.clock(), read once after the lock was taken.';
CREATE TRIGGER tr_20_stamp BEFORE UPDATE ON keyturn.current_change FOR EACH ROW EXECUTE FUNCTION keyturn.stamp_current_change();
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.current_change FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('its one row stays');
CREATE TRIGGER tr_30_one_row BEFORE INSERT OR DELETE ON keyturn.current_change FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('its one row stays');

-- ## table keyturn.incarnation
CREATE TABLE keyturn.incarnation (
  only_row boolean NOT NULL DEFAULT true,
  written_by xid8 NOT NULL,
  number bigint NOT NULL,
  lives_from bigint NOT NULL,
  since timestamp with time zone NOT NULL,
  reason text NOT NULL,
  kept boolean NOT NULL,
  CONSTRAINT ck_incarnation_lives_from CHECK (((lives_from >= 1) AND (lives_from <= number))),
  CONSTRAINT ck_incarnation_only_row CHECK (only_row),
  CONSTRAINT pk_incarnation PRIMARY KEY (only_row)
);
COMMENT ON TABLE keyturn.incarnation IS 'One row that says by which transaction it was written. A copy of it, as pg_restore makes, was written by another: so the database knows that it was restored from a dump. See is_restored() and reconcile(). Never rewrite this table, as ALTER COLUMN ... TYPE does: that is a copy too.';
COMMENT ON COLUMN keyturn.incarnation.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN keyturn.incarnation.written_by IS 'The transaction that wrote the row: the same as its xmin, unless it is a copy.';
COMMENT ON COLUMN keyturn.incarnation.number IS 'Rises with every reconciliation, above whatever a server that asked for it knew.';
COMMENT ON COLUMN keyturn.incarnation.lives_from IS 'Sessions and codes of a lower number are over: one row ends any number of them.';
COMMENT ON COLUMN keyturn.incarnation.since IS 'When the database was made, or reconciled last.';
COMMENT ON COLUMN keyturn.incarnation.reason IS 'Why it was reconciled last.';
COMMENT ON COLUMN keyturn.incarnation.kept IS 'Whether keys and sessions were kept then.';
CREATE TRIGGER tr_10_lock BEFORE INSERT OR UPDATE ON keyturn.incarnation FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_50_record AFTER INSERT OR UPDATE ON keyturn.incarnation FOR EACH ROW EXECUTE FUNCTION keyturn.record_reconciliation();
GRANT SELECT (lives_from) ON keyturn.incarnation TO keyturn_app;

-- ## table keyturn.login_events
CREATE TABLE keyturn.login_events (
  at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  outcome text NOT NULL,
  user_id uuid,
  username_tried text,
  address inet,
  user_agent text,
  session_id uuid,
  request_id text,
  CONSTRAINT ck_login_events_outcome CHECK ((outcome = ANY (ARRAY['success'::text, 'wrong_password'::text, 'unknown_user'::text, 'disabled'::text, 'throttled'::text, 'refresh_reused'::text, 'code_redeemed'::text]))),
  CONSTRAINT ck_login_events_request_id CHECK ((char_length(request_id) <= 64)),
  CONSTRAINT ck_login_events_session CHECK (((session_id IS NOT NULL) = (outcome = ANY (ARRAY['success'::text, 'refresh_reused'::text])))),
  CONSTRAINT ck_login_events_user CHECK (
CASE
    WHEN (outcome = 'unknown_user'::text) THEN (user_id IS NULL)
    ELSE ((user_id IS NOT NULL) OR (outcome = 'throttled'::text))
END),
  CONSTRAINT ck_login_events_user_agent CHECK ((char_length(user_agent) <= 256)),
  CONSTRAINT ck_login_events_username_tried CHECK ((char_length(username_tried) <= 254)),
  CONSTRAINT pk_login_events PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
COMMENT ON TABLE keyturn.login_events IS 'Who logged in, from where, and who failed. One partition a month (UTC). Not chained: what is grave is in audit_log. Holds names and addresses of people: see keep_login_partitions() and forget_logins().';
COMMENT ON COLUMN keyturn.login_events.at IS 'When, by the database''s clock.';
COMMENT ON COLUMN keyturn.login_events.id IS 'Tells events of the same instant apart.';
COMMENT ON COLUMN keyturn.login_events.outcome IS 'success; wrong_password (or none set yet), unknown_user, disabled, throttled: all answered alike or not let in; refresh_reused: a spent refresh token came back and its session was ended; code_redeemed: a password was set with a one-time code.';
COMMENT ON COLUMN keyturn.login_events.user_id IS 'Whose account it was. No foreign key: the event outlives the user. Null: there is no such user.';
COMMENT ON COLUMN keyturn.login_events.username_tried IS 'The name as it was typed. People do type a password there by mistake: only auditors may read it. Null: none was typed, or the person was erased.';
COMMENT ON COLUMN keyturn.login_events.address IS 'Where it came from. Null: not known, or the person was erased.';
COMMENT ON COLUMN keyturn.login_events.user_agent IS 'What the client called itself, the first 256 characters. Null: nothing, or the person was erased.';
COMMENT ON COLUMN keyturn.login_events.session_id IS 'The session that was begun, or ended because its refresh token came back.';
COMMENT ON COLUMN keyturn.login_events.request_id IS 'The request, to find it in the server''s log.';
CREATE INDEX ix_login_events_address ON ONLY keyturn.login_events USING btree (address, at);
COMMENT ON INDEX keyturn.ix_login_events_address IS 'The logins from one address.';
CREATE INDEX ix_login_events_user_id ON ONLY keyturn.login_events USING btree (user_id, at);
COMMENT ON INDEX keyturn.ix_login_events_user_id IS 'The logins of one user. Not partial: an unknown user costs what a known one does.';
GRANT SELECT ON keyturn.login_events TO keyturn_app;
GRANT INSERT (outcome, user_id, username_tried, address, user_agent, session_id, request_id) ON keyturn.login_events TO keyturn_app;

-- ## table keyturn.login_events_default
CREATE TABLE keyturn.login_events_default PARTITION OF keyturn.login_events DEFAULT;
COMMENT ON TABLE keyturn.login_events_default IS 'Takes what no month''s partition takes, so that no login fails for want of one. keep_login_partitions() empties it.';

-- ## table keyturn.migrations
CREATE TABLE keyturn.migrations (
  id integer NOT NULL DEFAULT nextval('keyturn.migrations_id_seq'::regclass),
  timestamp bigint NOT NULL,
  name character varying NOT NULL,
  CONSTRAINT PK_8c82d7f526340ab734260ea46be PRIMARY KEY (id)
);
COMMENT ON TABLE keyturn.migrations IS 'Which migrations have been applied. Kept by TypeORM.';
COMMENT ON COLUMN keyturn.migrations.id IS 'Running number.';
COMMENT ON COLUMN keyturn.migrations.timestamp IS 'The number in the migration''s name: milliseconds since 1970.';
COMMENT ON COLUMN keyturn.migrations.name IS 'The migration''s class name.';
GRANT SELECT ON keyturn.migrations TO keyturn_app;

-- ## table keyturn.one_time_codes
CREATE TABLE keyturn.one_time_codes (
  code_hash bytea NOT NULL,
  purpose text NOT NULL,
  user_id uuid,
  created_at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  expires_at timestamp with time zone NOT NULL,
  redeemed_at timestamp with time zone,
  incarnation bigint NOT NULL DEFAULT keyturn.incarnation_number(),
  CONSTRAINT ck_one_time_codes_expires CHECK ((expires_at > created_at)),
  CONSTRAINT ck_one_time_codes_hash CHECK ((octet_length(code_hash) = 32)),
  CONSTRAINT ck_one_time_codes_instants CHECK (((LEAST(created_at, expires_at, redeemed_at) >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (GREATEST(created_at, expires_at, redeemed_at) < '9999-12-31 00:00:00+00'::timestamp with time zone))),
  CONSTRAINT ck_one_time_codes_purpose CHECK ((purpose = ANY (ARRAY['setup'::text, 'invitation'::text, 'reset'::text]))),
  CONSTRAINT ck_one_time_codes_user CHECK (((purpose = 'setup'::text) = (user_id IS NULL))),
  CONSTRAINT fk_one_time_codes_user_id FOREIGN KEY (user_id) REFERENCES keyturn.users(id) ON DELETE CASCADE,
  CONSTRAINT pk_one_time_codes PRIMARY KEY (code_hash)
);
COMMENT ON TABLE keyturn.one_time_codes IS 'Codes that work once and not for long: first set-up, invitation, password reset.';
COMMENT ON COLUMN keyturn.one_time_codes.code_hash IS 'SHA-256 of the code; the code itself is shown once and stored nowhere.';
COMMENT ON COLUMN keyturn.one_time_codes.purpose IS 'setup makes the first administrator; invitation and reset set a user''s password.';
COMMENT ON COLUMN keyturn.one_time_codes.user_id IS 'Whose password it sets. Null for setup.';
COMMENT ON COLUMN keyturn.one_time_codes.created_at IS 'When it was made.';
COMMENT ON COLUMN keyturn.one_time_codes.expires_at IS 'Works until then, exclusive.';
COMMENT ON COLUMN keyturn.one_time_codes.redeemed_at IS 'When it was used, or made worthless by a newer one.';
COMMENT ON COLUMN keyturn.one_time_codes.incarnation IS 'Number of the incarnation it was made in. Below incarnation.lives_from it is void.';
CREATE INDEX ix_one_time_codes_user_id ON keyturn.one_time_codes USING btree (user_id);
COMMENT ON INDEX keyturn.ix_one_time_codes_user_id IS 'A user''s codes; serves the foreign key.';
CREATE TRIGGER tr_15_keep_incarnation BEFORE UPDATE OF incarnation ON keyturn.one_time_codes FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('a code stays of the incarnation it was made in');
GRANT DELETE, SELECT ON keyturn.one_time_codes TO keyturn_app;
GRANT INSERT (code_hash, purpose, user_id, expires_at) ON keyturn.one_time_codes TO keyturn_app;
GRANT UPDATE (redeemed_at) ON keyturn.one_time_codes TO keyturn_app;

-- ## table keyturn.replicas
CREATE TABLE keyturn.replicas (
  id uuid NOT NULL,
  code_version text NOT NULL,
  generation bigint NOT NULL,
  kek_ids text[] NOT NULL,
  opens integer[] NOT NULL,
  shut integer[] NOT NULL DEFAULT '{}'::integer[],
  started_at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  last_seen_at timestamp with time zone NOT NULL,
  CONSTRAINT pk_replicas PRIMARY KEY (id)
);
COMMENT ON TABLE keyturn.replicas IS 'Every server that is up: what it runs and what it knows. A row goes when its server stops in order, or has been silent for a day and cannot verify any more.';
COMMENT ON COLUMN keyturn.replicas.id IS 'Made anew at each start.';
COMMENT ON COLUMN keyturn.replicas.code_version IS 'Version of Keyturn it runs.';
COMMENT ON COLUMN keyturn.replicas.generation IS 'seq of the newest key event it has loaded.';
COMMENT ON COLUMN keyturn.replicas.kek_ids IS 'Key-encryption keys it holds, by id; the first is current.';
COMMENT ON COLUMN keyturn.replicas.opens IS 'Versions whose private halves it has opened.';
COMMENT ON COLUMN keyturn.replicas.shut IS 'Versions that sign, or are to, and whose private halves it cannot open.';
COMMENT ON COLUMN keyturn.replicas.started_at IS 'When it started.';
COMMENT ON COLUMN keyturn.replicas.last_seen_at IS 'When it last said so.';
CREATE INDEX ix_replicas_last_seen_at ON keyturn.replicas USING btree (last_seen_at);
COMMENT ON INDEX keyturn.ix_replicas_last_seen_at IS 'Finds the silent ones.';
GRANT DELETE, SELECT ON keyturn.replicas TO keyturn_app;
GRANT INSERT (id, code_version, generation, kek_ids, opens, shut, last_seen_at) ON keyturn.replicas TO keyturn_app;
GRANT UPDATE (generation, kek_ids, opens, shut, last_seen_at) ON keyturn.replicas TO keyturn_app;

-- ## table keyturn.service_secrets
CREATE TABLE keyturn.service_secrets (
  name text NOT NULL,
  kek_id text NOT NULL,
  sealed bytea NOT NULL,
  CONSTRAINT ck_service_secrets_name CHECK ((name = 'refresh'::text)),
  CONSTRAINT pk_service_secrets PRIMARY KEY (name)
);
COMMENT ON TABLE keyturn.service_secrets IS 'Secrets that the servers share, made once and sealed under the key-encryption key.';
COMMENT ON COLUMN keyturn.service_secrets.name IS 'What it is for: refresh derives each refresh token from the one before.';
COMMENT ON COLUMN keyturn.service_secrets.kek_id IS 'Which key-encryption key sealed it.';
COMMENT ON COLUMN keyturn.service_secrets.sealed IS 'AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag. Associated data: the name.';
GRANT INSERT, SELECT ON keyturn.service_secrets TO keyturn_app;
GRANT UPDATE (kek_id, sealed) ON keyturn.service_secrets TO keyturn_app;

-- ## table keyturn.sessions
CREATE TABLE keyturn.sessions (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  refreshed_at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  idle_expires_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone NOT NULL,
  ended_at timestamp with time zone,
  ended_in xid8,
  end_reason text,
  refresh_hash bytea NOT NULL,
  refresh_generation integer NOT NULL DEFAULT 0,
  user_agent text,
  address inet,
  incarnation bigint NOT NULL DEFAULT keyturn.incarnation_number(),
  CONSTRAINT ck_sessions_end_reason CHECK ((end_reason = ANY (ARRAY['logout'::text, 'logout_all'::text, 'administrator'::text, 'password_changed'::text, 'password_reset'::text, 'disabled'::text, 'refresh_token_reused'::text, 'by_hand'::text]))),
  CONSTRAINT ck_sessions_ended CHECK (((ended_at IS NULL) = (end_reason IS NULL))),
  CONSTRAINT ck_sessions_instants CHECK (((LEAST(created_at, refreshed_at, idle_expires_at, expires_at, ended_at) >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (GREATEST(created_at, refreshed_at, idle_expires_at, expires_at, ended_at) < '9999-12-31 00:00:00+00'::timestamp with time zone))),
  CONSTRAINT ck_sessions_limits CHECK (((created_at <= refreshed_at) AND (idle_expires_at <= expires_at))),
  CONSTRAINT ck_sessions_refresh CHECK (((octet_length(refresh_hash) = 32) AND (refresh_generation >= 0))),
  CONSTRAINT ck_sessions_user_agent CHECK ((char_length(user_agent) <= 256)),
  CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES keyturn.users(id) ON DELETE CASCADE,
  CONSTRAINT pk_sessions PRIMARY KEY (id)
);
COMMENT ON TABLE keyturn.sessions IS 'One login each, with its family of refresh tokens. A token lives no longer than its session.';
COMMENT ON COLUMN keyturn.sessions.id IS 'Claim sid of the tokens.';
COMMENT ON COLUMN keyturn.sessions.user_id IS 'Whose session it is.';
COMMENT ON COLUMN keyturn.sessions.created_at IS 'When the person proved who they are (claim auth_time).';
COMMENT ON COLUMN keyturn.sessions.refreshed_at IS 'When the current refresh token was made.';
COMMENT ON COLUMN keyturn.sessions.idle_expires_at IS 'Ends then, unless it is refreshed before.';
COMMENT ON COLUMN keyturn.sessions.expires_at IS 'Ends then in any case; never extended.';
COMMENT ON COLUMN keyturn.sessions.ended_at IS 'When it was ended, stamped by the database. Final.';
COMMENT ON COLUMN keyturn.sessions.ended_in IS 'The transaction that ended it, stamped by the database. News goes by it: an end is told once it is committed, however late.';
COMMENT ON COLUMN keyturn.sessions.end_reason IS 'Why it was ended.';
COMMENT ON COLUMN keyturn.sessions.refresh_hash IS 'SHA-256 of the one refresh token that is good now.';
COMMENT ON COLUMN keyturn.sessions.refresh_generation IS 'How many refresh tokens came before it. Earlier ones are recognised by derivation.';
COMMENT ON COLUMN keyturn.sessions.user_agent IS 'What the client called itself at login.';
COMMENT ON COLUMN keyturn.sessions.address IS 'Where the login came from.';
COMMENT ON COLUMN keyturn.sessions.incarnation IS 'Number of the incarnation it began in. Below incarnation.lives_from it is over.';
CREATE INDEX ix_sessions_ended_at ON keyturn.sessions USING btree (ended_at) WHERE (ended_at IS NOT NULL);
COMMENT ON INDEX keyturn.ix_sessions_ended_at IS 'Finds those whose rows may go before their limit.';
CREATE INDEX ix_sessions_ended_in ON keyturn.sessions USING btree (ended_in) WHERE (ended_in IS NOT NULL);
COMMENT ON INDEX keyturn.ix_sessions_ended_in IS 'What the poll asks for: sessions that ended since it asked last.';
CREATE INDEX ix_sessions_expires_at ON keyturn.sessions USING btree (expires_at);
COMMENT ON INDEX keyturn.ix_sessions_expires_at IS 'Finds those whose rows may go.';
CREATE INDEX ix_sessions_user_id ON keyturn.sessions USING btree (user_id, created_at);
COMMENT ON INDEX keyturn.ix_sessions_user_id IS 'A user''s sessions; serves the foreign key.';
CREATE TRIGGER tr_10_lock BEFORE UPDATE OF ended_at ON keyturn.sessions FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_15_keep_incarnation BEFORE UPDATE OF incarnation ON keyturn.sessions FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('a session stays of the incarnation it began in');
CREATE TRIGGER tr_20_guard BEFORE UPDATE ON keyturn.sessions FOR EACH ROW EXECUTE FUNCTION keyturn.guard_session();
CREATE TRIGGER tr_20_guard_delete BEFORE DELETE ON keyturn.sessions FOR EACH ROW EXECUTE FUNCTION keyturn.guard_session_delete();
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.sessions FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('end sessions instead, so that every server hears of it');
CREATE TRIGGER tr_50_record AFTER UPDATE ON keyturn.sessions REFERENCING NEW TABLE AS updated FOR EACH STATEMENT EXECUTE FUNCTION keyturn.record_ended_sessions();
GRANT DELETE, SELECT ON keyturn.sessions TO keyturn_app;
GRANT INSERT (id, user_id, idle_expires_at, expires_at, refresh_hash, user_agent, address) ON keyturn.sessions TO keyturn_app;
GRANT UPDATE (refreshed_at, idle_expires_at, ended_at, end_reason, refresh_hash, refresh_generation) ON keyturn.sessions TO keyturn_app;

-- ## table keyturn.signing_key_secrets
CREATE TABLE keyturn.signing_key_secrets (
  version integer NOT NULL,
  kek_id text NOT NULL,
  sealed bytea NOT NULL,
  CONSTRAINT fk_signing_key_secrets_version FOREIGN KEY (version) REFERENCES keyturn.signing_keys(version),
  CONSTRAINT pk_signing_key_secrets PRIMARY KEY (version)
);
COMMENT ON TABLE keyturn.signing_key_secrets IS 'Private halves, sealed under a key-encryption key that is never in the database. Deleted when a key can sign no more.';
COMMENT ON COLUMN keyturn.signing_key_secrets.version IS 'Whose private half this is.';
COMMENT ON COLUMN keyturn.signing_key_secrets.kek_id IS 'Which key-encryption key sealed it.';
COMMENT ON COLUMN keyturn.signing_key_secrets.sealed IS 'AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag. Associated data: kid, version, algorithm.';
CREATE TRIGGER tr_10_lock BEFORE INSERT OR DELETE OR UPDATE ON keyturn.signing_key_secrets FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_20_guard BEFORE INSERT OR DELETE OR UPDATE ON keyturn.signing_key_secrets FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_secret();
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.signing_key_secrets FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('private halves end with their keys');
CREATE TRIGGER tr_50_record AFTER UPDATE ON keyturn.signing_key_secrets FOR EACH ROW EXECUTE FUNCTION keyturn.record_reseal();
GRANT INSERT, SELECT ON keyturn.signing_key_secrets TO keyturn_app;
GRANT UPDATE (kek_id, sealed) ON keyturn.signing_key_secrets TO keyturn_app;

-- ## table keyturn.signing_keys
CREATE TABLE keyturn.signing_keys (
  version integer NOT NULL,
  kid text NOT NULL,
  algorithm text NOT NULL,
  signs boolean NOT NULL,
  origin text NOT NULL,
  renewed_from integer,
  activation text,
  public_jwk jsonb,
  thumbprint text,
  published_at timestamp with time zone NOT NULL,
  activates_at timestamp with time zone NOT NULL,
  retires_at timestamp with time zone,
  expires_at timestamp with time zone,
  lead keyturn.duration NOT NULL,
  max_token_ttl keyturn.duration NOT NULL,
  verify_tail keyturn.duration NOT NULL,
  revoked_at timestamp with time zone,
  revocation_reason text,
  private_key_destroyed_at timestamp with time zone,
  CONSTRAINT ck_signing_keys_activation CHECK ((((activation IS NOT NULL) = signs) AND (activation = ANY (ARRAY['bootstrap'::text, 'scheduled'::text, 'early'::text, 'forced'::text, 'emergency'::text])))),
  CONSTRAINT ck_signing_keys_algorithm CHECK ((algorithm = ANY (ARRAY['RS256'::text, 'RS384'::text, 'RS512'::text, 'PS256'::text, 'PS384'::text, 'PS512'::text, 'ES256'::text, 'ES384'::text, 'ES512'::text, 'HS256'::text, 'HS384'::text, 'HS512'::text]))),
  CONSTRAINT ck_signing_keys_destroyed CHECK (((private_key_destroyed_at IS NULL) OR COALESCE((revoked_at <= private_key_destroyed_at), false) OR COALESCE((
CASE
    WHEN (algorithm ~~ 'HS%'::text) THEN expires_at
    ELSE retires_at
END <= private_key_destroyed_at), false))),
  CONSTRAINT ck_signing_keys_end CHECK (((retires_at IS NULL) = (expires_at IS NULL))),
  CONSTRAINT ck_signing_keys_instants CHECK (((LEAST(published_at, activates_at, retires_at, expires_at, revoked_at, private_key_destroyed_at) >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (GREATEST(published_at, activates_at, retires_at, expires_at, revoked_at, private_key_destroyed_at) < '9999-12-31 00:00:00+00'::timestamp with time zone))),
  CONSTRAINT ck_signing_keys_kid CHECK ((kid ~ '^[A-Za-z0-9_-]{1,64}$'::text)),
  CONSTRAINT ck_signing_keys_kid_derived CHECK (((origin = 'imported'::text) OR
CASE
    WHEN (thumbprint IS NULL) THEN (kid ~ (('^'::text || version) || '-[A-Za-z0-9_-]{8}$'::text))
    ELSE (kid = ((version || '-'::text) || "left"(thumbprint, 8)))
END)),
  CONSTRAINT ck_signing_keys_lead CHECK (((activation <> ALL (ARRAY['scheduled'::text, 'early'::text])) OR (activates_at >= (published_at + (lead)::interval)))),
  CONSTRAINT ck_signing_keys_order CHECK (((activates_at <= retires_at) AND (retires_at <= expires_at) AND ((NOT signs) OR (published_at <= activates_at) OR (activation = ANY (ARRAY['forced'::text, 'emergency'::text]))))),
  CONSTRAINT ck_signing_keys_origin CHECK ((origin = ANY (ARRAY['generated'::text, 'imported'::text, 'renewed'::text]))),
  CONSTRAINT ck_signing_keys_policy CHECK ((((max_token_ttl)::interval > '00:00:00'::interval) AND ((verify_tail)::interval >= (max_token_ttl)::interval))),
  CONSTRAINT ck_signing_keys_public_half CHECK ((((algorithm ~~ 'HS%'::text) = (public_jwk IS NULL)) AND ((public_jwk IS NULL) = (thumbprint IS NULL)))),
  CONSTRAINT ck_signing_keys_public_members CHECK (((public_jwk IS NULL) OR COALESCE(
CASE
    WHEN (algorithm ~~ 'ES%'::text) THEN ((public_jwk @> (
    CASE algorithm
        WHEN 'ES256'::text THEN '{"kty": "EC", "crv": "P-256"}'::text
        WHEN 'ES384'::text THEN '{"kty": "EC", "crv": "P-384"}'::text
        ELSE '{"kty": "EC", "crv": "P-521"}'::text
    END)::jsonb) AND (public_jwk @? 'strict $."x"?(@ like_regex "^[A-Za-z0-9_-]{43,88}$")'::jsonpath) AND (public_jwk @? 'strict $."y"?(@ like_regex "^[A-Za-z0-9_-]{43,88}$")'::jsonpath))
    ELSE ((public_jwk @> '{"kty": "RSA"}'::jsonb) AND (public_jwk @? 'strict $."n"?(@ like_regex "^[A-Za-z0-9_-]+$")'::jsonpath) AND ((char_length((public_jwk ->> 'n'::text)) >= 342) AND (char_length((public_jwk ->> 'n'::text)) <= 683)) AND (public_jwk @? 'strict $."e"?(@ like_regex "^[A-Za-z0-9_-]+$")'::jsonpath))
END, false))),
  CONSTRAINT ck_signing_keys_public_only CHECK ((NOT (public_jwk ?| ARRAY['d'::text, 'p'::text, 'q'::text, 'dp'::text, 'dq'::text, 'qi'::text, 'oth'::text, 'k'::text]))),
  CONSTRAINT ck_signing_keys_renewed CHECK (((origin = 'renewed'::text) = (renewed_from IS NOT NULL))),
  CONSTRAINT ck_signing_keys_revocation CHECK ((((revoked_at IS NULL) = (revocation_reason IS NULL)) AND (revocation_reason <> ''::text))),
  CONSTRAINT ck_signing_keys_revoked_window CHECK (((revoked_at IS NULL) OR (retires_at <= GREATEST(activates_at, revoked_at)))),
  CONSTRAINT ck_signing_keys_superseded CHECK (((revocation_reason IS DISTINCT FROM 'superseded'::text) OR (signs AND (retires_at = activates_at)))),
  CONSTRAINT ck_signing_keys_tail CHECK (((NOT signs) OR (expires_at >= (retires_at + (verify_tail)::interval)))),
  CONSTRAINT ck_signing_keys_thumbprint CHECK ((thumbprint ~ '^[A-Za-z0-9_-]{43}$'::text)),
  CONSTRAINT ck_signing_keys_verify_only CHECK ((signs OR ((origin = 'imported'::text) AND (retires_at = activates_at) AND (expires_at IS NOT NULL)))),
  CONSTRAINT ck_signing_keys_version CHECK ((version > 0)),
  CONSTRAINT fk_signing_keys_renewed_from FOREIGN KEY (renewed_from) REFERENCES keyturn.signing_keys(version),
  CONSTRAINT pk_signing_keys PRIMARY KEY (version),
  CONSTRAINT uq_signing_keys_kid UNIQUE (kid),
  CONSTRAINT ex_signing_keys_one_signer EXCLUDE USING gist (tstzrange(activates_at, retires_at) WITH &&) WHERE ((signs AND (revoked_at IS NULL))) DEFERRABLE
);
COMMENT ON TABLE keyturn.signing_keys IS 'One row a version of the key that signs access tokens. Timestamps are facts; rows are never deleted.';
COMMENT ON COLUMN keyturn.signing_keys.version IS 'Counts 1, 2, 3 … without gaps; never reused.';
COMMENT ON COLUMN keyturn.signing_keys.kid IS 'Key id in token headers and JWKS: version and the first 8 of the thumbprint.';
COMMENT ON COLUMN keyturn.signing_keys.algorithm IS 'JWS algorithm (RFC 7518 section 3.1). A token''s header must say the same.';
COMMENT ON COLUMN keyturn.signing_keys.signs IS 'False: kept only to verify tokens signed elsewhere.';
COMMENT ON COLUMN keyturn.signing_keys.origin IS 'generated here, imported from outside, or renewed: an older pair under a new version.';
COMMENT ON COLUMN keyturn.signing_keys.renewed_from IS 'The version whose pair this one carries on.';
COMMENT ON COLUMN keyturn.signing_keys.activation IS 'How its window begins: bootstrap, scheduled, early (rotated by hand), forced (before its lead was over), emergency.';
COMMENT ON COLUMN keyturn.signing_keys.public_jwk IS 'Public half (RFC 7517). Null for HMAC, which has none.';
COMMENT ON COLUMN keyturn.signing_keys.thumbprint IS 'SHA-256 JWK thumbprint (RFC 7638). The same pair has the same thumbprint.';
COMMENT ON COLUMN keyturn.signing_keys.published_at IS 'Since when it is in JWKS.';
COMMENT ON COLUMN keyturn.signing_keys.activates_at IS 'From when it signs.';
COMMENT ON COLUMN keyturn.signing_keys.retires_at IS 'Until when it signs, exclusive. Null: until a successor is due.';
COMMENT ON COLUMN keyturn.signing_keys.expires_at IS 'Until when tokens under it verify and it is in JWKS, exclusive.';
COMMENT ON COLUMN keyturn.signing_keys.lead IS 'How long it must be public before it may sign.';
COMMENT ON COLUMN keyturn.signing_keys.max_token_ttl IS 'The longest life of a token signed with it.';
COMMENT ON COLUMN keyturn.signing_keys.verify_tail IS 'How long, at least, tokens under it verify after it stopped signing.';
COMMENT ON COLUMN keyturn.signing_keys.revoked_at IS 'When it was declared dead, stamped by the database. Final.';
COMMENT ON COLUMN keyturn.signing_keys.revocation_reason IS 'Why. The word superseded, for a key that never signed, alone leaves its pair usable.';
COMMENT ON COLUMN keyturn.signing_keys.private_key_destroyed_at IS 'When the sealed private half was deleted.';
CREATE INDEX ix_signing_keys_live ON keyturn.signing_keys USING btree (expires_at);
COMMENT ON INDEX keyturn.ix_signing_keys_live IS 'Keys that have not expired: what a replica loads.';
CREATE INDEX ix_signing_keys_renewed_from ON keyturn.signing_keys USING btree (renewed_from);
COMMENT ON INDEX keyturn.ix_signing_keys_renewed_from IS 'Serves the foreign key and the search for rows of the same pair.';
CREATE INDEX ix_signing_keys_thumbprint ON keyturn.signing_keys USING btree (thumbprint);
COMMENT ON INDEX keyturn.ix_signing_keys_thumbprint IS 'Finds every row that holds the same pair.';
CREATE INDEX ix_signing_keys_verifying ON keyturn.signing_keys USING gist (keyturn.verifying(activates_at, expires_at, revoked_at));
COMMENT ON INDEX keyturn.ix_signing_keys_verifying IS 'Which keys were good at an instant, and which may be from now on.';
CREATE TRIGGER tr_10_lock BEFORE INSERT OR DELETE OR UPDATE ON keyturn.signing_keys FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_20_guard_insert BEFORE INSERT ON keyturn.signing_keys FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_insert();
CREATE TRIGGER tr_20_guard_update BEFORE UPDATE ON keyturn.signing_keys FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_update();
CREATE TRIGGER tr_30_no_delete BEFORE DELETE ON keyturn.signing_keys FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('signing keys are never deleted; revoke them');
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.signing_keys FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('signing keys are never deleted; revoke them');
CREATE TRIGGER tr_40_destroy_private_half AFTER UPDATE ON keyturn.signing_keys FOR EACH ROW WHEN (((old.private_key_destroyed_at IS NULL) AND (new.private_key_destroyed_at IS NOT NULL))) EXECUTE FUNCTION keyturn.destroy_private_half();
CREATE TRIGGER tr_50_record BEFORE INSERT OR UPDATE ON keyturn.signing_keys FOR EACH ROW EXECUTE FUNCTION keyturn.record_key_change();
CREATE TRIGGER tr_60_mend AFTER INSERT OR UPDATE ON keyturn.signing_keys FOR EACH STATEMENT WHEN ((pg_trigger_depth() = 0)) EXECUTE FUNCTION keyturn.mend_signing_windows();
GRANT SELECT ON keyturn.signing_keys TO keyturn_app;
GRANT INSERT (version, kid, algorithm, signs, origin, renewed_from, activation, public_jwk, thumbprint, published_at, activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail) ON keyturn.signing_keys TO keyturn_app;
GRANT UPDATE (activation, activates_at, retires_at, expires_at, revoked_at, revocation_reason, private_key_destroyed_at) ON keyturn.signing_keys TO keyturn_app;

-- ## table keyturn.users
CREATE TABLE keyturn.users (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  username text NOT NULL,
  password_hash text,
  roles text[] NOT NULL DEFAULT '{}'::text[],
  ver integer NOT NULL DEFAULT 1,
  disabled_at timestamp with time zone,
  reset_at timestamp with time zone,
  password_changed_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT keyturn.clock(),
  CONSTRAINT ck_users_instants CHECK (((LEAST(disabled_at, reset_at, password_changed_at, created_at) >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (GREATEST(disabled_at, reset_at, password_changed_at, created_at) < '9999-12-31 00:00:00+00'::timestamp with time zone))),
  CONSTRAINT ck_users_password_hash CHECK ((password_hash ~~ '$argon2id$%'::text)),
  CONSTRAINT ck_users_roles CHECK (((cardinality(roles) <= 64) AND (array_position(roles, NULL::text) IS NULL) AND (cardinality(string_to_array(array_to_string(roles, ' '::text), ' '::text)) = cardinality(roles)) AND (array_to_string(roles, ' '::text) ~ '^([A-Za-z0-9_.:-]{1,64}( [A-Za-z0-9_.:-]{1,64})*)?$'::text))),
  CONSTRAINT ck_users_username CHECK ((((char_length(username) >= 1) AND (char_length(username) <= 254)) AND (username !~ '[[:space:][:cntrl:]]'::text))),
  CONSTRAINT ck_users_ver CHECK ((ver > 0)),
  CONSTRAINT pk_users PRIMARY KEY (id)
);
COMMENT ON TABLE keyturn.users IS 'Who may log in.';
COMMENT ON COLUMN keyturn.users.id IS 'Subject of the tokens (claim sub).';
COMMENT ON COLUMN keyturn.users.username IS 'What the person types to log in; may be an e-mail address. Unique ignoring case.';
COMMENT ON COLUMN keyturn.users.password_hash IS 'Argon2id, PHC string. Null: invited, or reset (reset_at), and no password set since.';
COMMENT ON COLUMN keyturn.users.roles IS 'Free words; admin and auditor are the product''s own.';
COMMENT ON COLUMN keyturn.users.ver IS 'Rises by itself when roles or standing change; tokens with an older ver are refused.';
COMMENT ON COLUMN keyturn.users.disabled_at IS 'Since when the user may not log in. Null: enabled.';
COMMENT ON COLUMN keyturn.users.reset_at IS 'When an administrator last asked for a password reset.';
COMMENT ON COLUMN keyturn.users.password_changed_at IS 'When the password was last set.';
COMMENT ON COLUMN keyturn.users.created_at IS 'When the row was made.';
CREATE INDEX ix_users_created_at ON keyturn.users USING btree (created_at, id);
COMMENT ON INDEX keyturn.ix_users_created_at IS 'Users page by page, oldest first.';
CREATE UNIQUE INDEX uq_users_username ON keyturn.users USING btree (lower(username));
COMMENT ON INDEX keyturn.uq_users_username IS 'One user a name, ignoring case.';
CREATE TRIGGER tr_10_lock BEFORE INSERT OR DELETE OR UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_11_lock BEFORE UPDATE OF username, password_changed_at ON keyturn.users FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
CREATE TRIGGER tr_20_guard BEFORE UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users FOR EACH ROW EXECUTE FUNCTION keyturn.guard_user();
CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.users FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('delete a user by id, so that history records it');
CREATE TRIGGER tr_40_end_sessions AFTER UPDATE OF disabled_at ON keyturn.users FOR EACH ROW WHEN (((old.disabled_at IS NULL) AND (new.disabled_at IS NOT NULL))) EXECUTE FUNCTION keyturn.end_sessions_of_disabled();
CREATE TRIGGER tr_50_record AFTER INSERT OR DELETE OR UPDATE OF id, roles, disabled_at, ver, reset_at ON keyturn.users FOR EACH ROW EXECUTE FUNCTION keyturn.record_user_change();
CREATE TRIGGER tr_51_record AFTER UPDATE OF username, password_changed_at ON keyturn.users FOR EACH ROW EXECUTE FUNCTION keyturn.record_account_change();
CREATE TRIGGER tr_60_forget_logins AFTER DELETE ON keyturn.users FOR EACH ROW EXECUTE FUNCTION keyturn.forget_logins();
GRANT SELECT ON keyturn.users TO keyturn_app;
GRANT INSERT (id, username, password_hash, roles, password_changed_at) ON keyturn.users TO keyturn_app;
GRANT UPDATE (username, password_hash, roles, disabled_at, reset_at, password_changed_at) ON keyturn.users TO keyturn_app;

-- ## view audit.chain
CREATE VIEW audit.chain AS
 SELECT seq,
    prev_hash,
    entry,
    hash,
    at,
    event,
    version,
    subject,
    actor
   FROM keyturn.audit_log;
COMMENT ON VIEW audit.chain IS 'The history as it is stored: what a proof is made from. Sort it by seq.';
COMMENT ON COLUMN audit.chain.seq IS 'Counts 1, 2, 3 … without gaps.';
COMMENT ON COLUMN audit.chain.prev_hash IS 'hash of the row before; 64 zeros for the first.';
COMMENT ON COLUMN audit.chain.entry IS 'What happened: one canonical JSON text.';
COMMENT ON COLUMN audit.chain.hash IS 'SHA-256, in hexadecimal, of prev_hash followed by entry.';
COMMENT ON COLUMN audit.chain.at IS 'When, from entry.';
COMMENT ON COLUMN audit.chain.event IS 'What, from entry.';
COMMENT ON COLUMN audit.chain.version IS 'Which signing key, from entry. Null for events about users.';
COMMENT ON COLUMN audit.chain.subject IS 'Which user it was done to, from entry. Null for events about keys.';
COMMENT ON COLUMN audit.chain.actor IS 'Which user did it, as the application claims, from entry. Null: no user.';
GRANT SELECT ON audit.chain TO keyturn_app;
GRANT SELECT ON audit.chain TO keyturn_auditor;

-- ## view audit.checkpoints
CREATE VIEW audit.checkpoints AS
 SELECT seq,
    hash,
    signed_at,
    signed_by,
    jws
   FROM keyturn.audit_checkpoints;
COMMENT ON VIEW audit.checkpoints IS 'Signed heads of the history. Keep a copy of the newest where the DBA cannot reach.';
COMMENT ON COLUMN audit.checkpoints.seq IS 'The row of audit.chain that was the newest.';
COMMENT ON COLUMN audit.checkpoints.hash IS 'Its hash, which stands for every row up to it.';
COMMENT ON COLUMN audit.checkpoints.signed_at IS 'When.';
COMMENT ON COLUMN audit.checkpoints.signed_by IS 'With which key: its kid.';
COMMENT ON COLUMN audit.checkpoints.jws IS 'The signed text: verify it with the public key of that kid.';
GRANT SELECT ON audit.checkpoints TO keyturn_app;
GRANT SELECT ON audit.checkpoints TO keyturn_auditor;

-- ## view audit.key_history
CREATE VIEW audit.key_history AS
 SELECT log.seq,
    log.at,
    log.version,
    entry.kid,
        CASE log.event
            WHEN 'bootstrapped'::text THEN 'first key; signs from now on'::text
            WHEN 'published'::text THEN ('published; signs from '::text || COALESCE(to_char((((entry.new ->> 'activates_at'::text))::timestamp with time zone AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI "UTC"'::text), '?'::text))
            WHEN 'renewed'::text THEN (('the pair of version '::text || (entry.new ->> 'renewed_from'::text)) || ' published again'::text)
            WHEN 'imported'::text THEN ('imported'::text ||
            CASE
                WHEN ((entry.new ->> 'signs'::text) = 'false'::text) THEN ', to verify only'::text
                ELSE ''::text
            END)
            WHEN 'scheduled'::text THEN
            CASE
                WHEN (entry.new ? 'activates_at'::text) THEN ('takeover moved to '::text || to_char((((entry.new ->> 'activates_at'::text))::timestamp with time zone AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI "UTC"'::text))
                WHEN (entry.new ? 'retires_at'::text) THEN COALESCE(('signs until '::text || to_char((((entry.new ->> 'retires_at'::text))::timestamp with time zone AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI "UTC"'::text)), 'signs on until a successor is due'::text)
                WHEN (entry.new ? 'expires_at'::text) THEN ('verifies until '::text || COALESCE(to_char((((entry.new ->> 'expires_at'::text))::timestamp with time zone AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD HH24:MI "UTC"'::text), 'some time after it stops to sign'::text))
                ELSE 'changed'::text
            END
            WHEN 'taken_over_early'::text THEN 'took over early'::text
            WHEN 'taken_over_forced'::text THEN 'took over by force, before its lead was over'::text
            WHEN 'taken_over_by_emergency'::text THEN 'took over in an emergency'::text
            WHEN 'superseded'::text THEN 'superseded'::text
            WHEN 'revoked'::text THEN 'revoked'::text
            WHEN 'private_half_destroyed'::text THEN 'private half destroyed'::text
            WHEN 'resealed'::text THEN
            CASE
                WHEN ((entry.old ->> 'kek_id'::text) = (entry.new ->> 'kek_id'::text)) THEN 'sealed half replaced, under the same key-encryption key'::text
                ELSE ('sealed again under key-encryption key '::text || (entry.new ->> 'kek_id'::text))
            END
            ELSE log.event
        END AS what,
    COALESCE(actor.username, ('user '::text || log.actor), (((entry.database_user || ' ('::text) || entry.application) || ')'::text)) AS who,
    entry.reason,
    entry.request_id,
    entry.database_user,
    entry.client_address,
    entry.application,
    log.event
   FROM ((keyturn.audit_log log
     CROSS JOIN LATERAL ( SELECT (parsed.j ->> 'kid'::text) AS kid,
            (parsed.j ->> 'reason'::text) AS reason,
            (parsed.j ->> 'request_id'::text) AS request_id,
            (parsed.j ->> 'session_user'::text) AS database_user,
            ((parsed.j ->> 'client_addr'::text))::inet AS client_address,
            (parsed.j ->> 'application_name'::text) AS application,
            (parsed.j -> 'old'::text) AS old,
            (parsed.j -> 'new'::text) AS new
           FROM ( SELECT (log.entry)::jsonb AS j) parsed) entry)
     LEFT JOIN keyturn.users actor ON ((actor.id = log.actor)))
  WHERE (log.version IS NOT NULL)
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
GRANT SELECT ON audit.key_history TO keyturn_app;
GRANT SELECT ON audit.key_history TO keyturn_auditor;

-- ## view audit.key_schedule
CREATE VIEW audit.key_schedule AS
 WITH instant AS MATERIALIZED (
         SELECT keyturn.clock() AS now
        ), live AS (
         SELECT k.version,
            k.kid,
            k.signs,
            k.activates_at,
            k.retires_at,
            k.expires_at,
            keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, ( SELECT instant.now
                   FROM instant)) AS state
           FROM keyturn.signing_keys k
          WHERE ((k.revoked_at IS NULL) AND (keyturn.verifying(k.activates_at, k.expires_at, k.revoked_at) && tstzrange(( SELECT instant.now
                   FROM instant), NULL::timestamp with time zone)))
        )
 SELECT due_at,
    what,
    version,
    kid,
    overdue,
    in_words
   FROM ( SELECT NULL::timestamp with time zone AS due_at,
            'signer'::text AS what,
            NULL::integer AS version,
            NULL::text AS kid,
            true AS overdue,
            'no key is active: nothing can be signed until a server that holds the key-encryption key makes one'::text AS in_words
          WHERE (NOT (EXISTS ( SELECT
                   FROM live
                  WHERE (live.signs AND (live.state = 'active'::text)))))
        UNION ALL
         SELECT NULL::timestamp with time zone,
            'standby'::text,
            NULL::integer,
            NULL::text,
            true,
            'no standby is published: a server that holds the key-encryption key publishes one within a minute'::text
          WHERE (NOT (EXISTS ( SELECT
                   FROM live
                  WHERE (live.signs AND (live.state = 'pending'::text)))))
        UNION ALL
         SELECT live.activates_at,
            'takeover'::text,
            live.version,
            live.kid,
            false,
            (live.kid || ' begins to sign'::text)
           FROM live
          WHERE (live.signs AND (live.state = 'pending'::text))
        UNION ALL
         SELECT live.expires_at,
            'expiry'::text,
            live.version,
            live.kid,
            false,
            (('tokens under '::text || live.kid) || ' are refused from then on'::text)
           FROM live
          WHERE (live.expires_at IS NOT NULL)) due
  ORDER BY due_at NULLS FIRST, what, version;
COMMENT ON VIEW audit.key_schedule IS 'What is due? What is overdue comes first; then takeovers and expiries, soonest first.';
COMMENT ON COLUMN audit.key_schedule.due_at IS 'When. Null: it should be there already.';
COMMENT ON COLUMN audit.key_schedule.what IS 'signer or standby: one is wanting; takeover; expiry.';
COMMENT ON COLUMN audit.key_schedule.version IS 'Which key: its version.';
COMMENT ON COLUMN audit.key_schedule.kid IS 'Which key: its kid.';
COMMENT ON COLUMN audit.key_schedule.overdue IS 'True: somebody should look.';
COMMENT ON COLUMN audit.key_schedule.in_words IS 'What will happen, or what is wanting.';
GRANT SELECT ON audit.key_schedule TO keyturn_app;
GRANT SELECT ON audit.key_schedule TO keyturn_auditor;

-- ## view audit.key_timeline
CREATE VIEW audit.key_timeline AS
 SELECT k.version,
    k.kid,
    k.algorithm,
    keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, keyturn.clock()) AS state,
    k.published_at,
        CASE
            WHEN (k.signs AND (k.retires_at IS DISTINCT FROM k.activates_at)) THEN k.activates_at
            ELSE NULL::timestamp with time zone
        END AS active_from,
        CASE
            WHEN (k.signs AND (k.retires_at IS DISTINCT FROM k.activates_at)) THEN k.retires_at
            ELSE NULL::timestamp with time zone
        END AS active_to,
    COALESCE(LEAST(k.revoked_at, k.expires_at), k.expires_at) AS verifies_until,
    k.origin,
    k.activation,
    k.revoked_at,
    k.revocation_reason,
    published.who AS published_by,
    revoked.who AS revoked_by,
    k.private_key_destroyed_at
   FROM ((keyturn.signing_keys k
     LEFT JOIN LATERAL ( SELECT h.who
           FROM audit.key_history h
          WHERE (h.version = k.version)
          ORDER BY h.seq
         LIMIT 1) published ON (true))
     LEFT JOIN LATERAL ( SELECT h.who
           FROM audit.key_history h
          WHERE ((h.version = k.version) AND (h.event = ANY (ARRAY['revoked'::text, 'superseded'::text])))
          ORDER BY h.seq
         LIMIT 1) revoked ON (true))
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
GRANT SELECT ON audit.key_timeline TO keyturn_app;
GRANT SELECT ON audit.key_timeline TO keyturn_auditor;

-- ## view audit.login_history
CREATE VIEW audit.login_history AS
 SELECT e.at,
    e.outcome,
    u.username,
    e.username_tried,
    e.address,
    e.user_agent,
    e.user_id,
    e.session_id,
    e.request_id
   FROM (keyturn.login_events e
     LEFT JOIN keyturn.users u ON ((u.id = e.user_id)));
COMMENT ON VIEW audit.login_history IS 'Who logged in, from where, and who failed? Not sorted: ORDER BY at. Say from when: at > now() - interval ''7 days''.';
COMMENT ON COLUMN audit.login_history.at IS 'When.';
COMMENT ON COLUMN audit.login_history.outcome IS 'success; wrong_password, unknown_user, disabled, throttled: not let in; refresh_reused: a spent refresh token came back, the session was ended; code_redeemed: a password was set with a one-time code.';
COMMENT ON COLUMN audit.login_history.username IS 'Whose account, by the name of today. Null: there is no such user, or the person was erased. To look for one person, however rare: user_id = (SELECT id FROM audit.users WHERE lower(username) = lower(''Bob'')).';
COMMENT ON COLUMN audit.login_history.username_tried IS 'The name as it was typed; by mistake it may be a password. Null: none was typed, or the person was erased.';
COMMENT ON COLUMN audit.login_history.address IS 'Where it came from. Null: not known, or the person was erased.';
COMMENT ON COLUMN audit.login_history.user_agent IS 'What the client called itself.';
COMMENT ON COLUMN audit.login_history.user_id IS 'Whose account: id of the user, also of one who was erased.';
COMMENT ON COLUMN audit.login_history.session_id IS 'The session that was begun, or ended because its refresh token came back.';
COMMENT ON COLUMN audit.login_history.request_id IS 'The request, to find it in the server''s log.';
GRANT SELECT ON audit.login_history TO keyturn_app;
GRANT SELECT ON audit.login_history TO keyturn_auditor;

-- ## view audit.signing_keys
CREATE VIEW audit.signing_keys AS
 SELECT version,
    kid,
    algorithm,
    signs,
    origin,
    renewed_from,
    activation,
    public_jwk,
    thumbprint,
    published_at,
    activates_at,
    retires_at,
    expires_at,
    lead,
    max_token_ttl,
    verify_tail,
    revoked_at,
    revocation_reason,
    private_key_destroyed_at
   FROM keyturn.signing_keys;
COMMENT ON VIEW audit.signing_keys IS 'Every signing key as it is, public facts only. audit.key_timeline says the same in fewer columns.';
COMMENT ON COLUMN audit.signing_keys.version IS 'Counts 1, 2, 3 … without gaps.';
COMMENT ON COLUMN audit.signing_keys.kid IS 'Key id in token headers and JWKS.';
COMMENT ON COLUMN audit.signing_keys.algorithm IS 'JWS algorithm.';
COMMENT ON COLUMN audit.signing_keys.signs IS 'False: kept only to verify tokens signed elsewhere.';
COMMENT ON COLUMN audit.signing_keys.origin IS 'generated, imported or renewed.';
COMMENT ON COLUMN audit.signing_keys.renewed_from IS 'The version whose pair this one carries on.';
COMMENT ON COLUMN audit.signing_keys.activation IS 'How its signing window begins: bootstrap, scheduled, early, forced or emergency.';
COMMENT ON COLUMN audit.signing_keys.public_jwk IS 'Public half (RFC 7517). Null for HMAC.';
COMMENT ON COLUMN audit.signing_keys.thumbprint IS 'SHA-256 JWK thumbprint (RFC 7638).';
COMMENT ON COLUMN audit.signing_keys.published_at IS 'Since when it is public.';
COMMENT ON COLUMN audit.signing_keys.activates_at IS 'From when it signs.';
COMMENT ON COLUMN audit.signing_keys.retires_at IS 'Until when it signs, exclusive. Null: open.';
COMMENT ON COLUMN audit.signing_keys.expires_at IS 'Until when tokens under it verify, exclusive. Null: open.';
COMMENT ON COLUMN audit.signing_keys.lead IS 'How long it must be public before it may sign.';
COMMENT ON COLUMN audit.signing_keys.max_token_ttl IS 'The longest life of a token signed with it.';
COMMENT ON COLUMN audit.signing_keys.verify_tail IS 'How long, at least, tokens under it verify after it stopped signing.';
COMMENT ON COLUMN audit.signing_keys.revoked_at IS 'When it was declared dead.';
COMMENT ON COLUMN audit.signing_keys.revocation_reason IS 'Why.';
COMMENT ON COLUMN audit.signing_keys.private_key_destroyed_at IS 'When the sealed private half was deleted.';
GRANT SELECT ON audit.signing_keys TO keyturn_app;
GRANT SELECT ON audit.signing_keys TO keyturn_auditor;

-- ## view audit.user_history
CREATE VIEW audit.user_history AS
 SELECT log.seq,
    log.at,
    log.subject AS user_id,
    subject.username,
        CASE log.event
            WHEN 'user_created'::text THEN ('created'::text || COALESCE((' with the roles '::text || entry.new_roles), ' without a role'::text))
            WHEN 'user_roles_changed'::text THEN ((('roles changed from '::text || COALESCE(entry.old_roles, 'none'::text)) || ' to '::text) || COALESCE(entry.new_roles, 'none'::text))
            WHEN 'user_disabled'::text THEN 'disabled'::text
            WHEN 'user_enabled'::text THEN 'enabled'::text
            WHEN 'user_reset'::text THEN 'password reset asked for'::text
            WHEN 'user_renamed'::text THEN 'renamed'::text
            WHEN 'user_password_changed'::text THEN 'password set'::text
            WHEN 'user_sessions_ended'::text THEN ('sessions ended: '::text || entry.sessions)
            WHEN 'user_erased'::text THEN 'erased'::text
            WHEN 'user_changed'::text THEN ('changed: '::text || entry.members)
            ELSE log.event
        END AS what,
    COALESCE(actor.username, ('user '::text || log.actor), (((entry.database_user || ' ('::text) || entry.application) || ')'::text)) AS who,
    entry.reason,
    entry.request_id,
    entry.database_user,
    entry.client_address,
    entry.application,
    log.event
   FROM (((keyturn.audit_log log
     CROSS JOIN LATERAL ( SELECT (parsed.j ->> 'reason'::text) AS reason,
            (parsed.j ->> 'request_id'::text) AS request_id,
            (parsed.j ->> 'session_user'::text) AS database_user,
            ((parsed.j ->> 'client_addr'::text))::inet AS client_address,
            (parsed.j ->> 'application_name'::text) AS application,
            ( SELECT string_agg(role.value, ', '::text) AS string_agg
                   FROM jsonb_array_elements_text((parsed.j #> '{old,roles}'::text[])) role(value)) AS old_roles,
            ( SELECT string_agg(role.value, ', '::text) AS string_agg
                   FROM jsonb_array_elements_text((parsed.j #> '{new,roles}'::text[])) role(value)) AS new_roles,
            (parsed.j #>> '{new,sessions}'::text[]) AS sessions,
            ( SELECT string_agg(((member.key || ' is '::text) || member.value), ', '::text ORDER BY member.key) AS string_agg
                   FROM jsonb_each_text(NULLIF((parsed.j -> 'new'::text), 'null'::jsonb)) member(key, value)) AS members
           FROM ( SELECT (log.entry)::jsonb AS j) parsed) entry)
     LEFT JOIN keyturn.users subject ON ((subject.id = log.subject)))
     LEFT JOIN keyturn.users actor ON ((actor.id = log.actor)))
  WHERE (log.subject IS NOT NULL)
  ORDER BY log.seq;
COMMENT ON VIEW audit.user_history IS 'Who made Bob an administrator? One line an event, oldest first.';
COMMENT ON COLUMN audit.user_history.seq IS 'Place in the chain.';
COMMENT ON COLUMN audit.user_history.at IS 'When.';
COMMENT ON COLUMN audit.user_history.user_id IS 'To whom: id of the user.';
COMMENT ON COLUMN audit.user_history.username IS 'To whom, by the name of today. Null: the person was erased. Fast as lower(username) = lower(''Bob'').';
COMMENT ON COLUMN audit.user_history.what IS 'What happened, in words.';
COMMENT ON COLUMN audit.user_history.who IS 'The user who did it, as the application claims; without one, the database user and application.';
COMMENT ON COLUMN audit.user_history.reason IS 'Why, as given.';
COMMENT ON COLUMN audit.user_history.request_id IS 'The request that asked for it, to find it in the server''s log.';
COMMENT ON COLUMN audit.user_history.database_user IS 'The database user whose session it was, as Postgres knew it, not as anybody claims.';
COMMENT ON COLUMN audit.user_history.client_address IS 'From where that session was connected.';
COMMENT ON COLUMN audit.user_history.application IS 'What that session called itself.';
COMMENT ON COLUMN audit.user_history.event IS 'The event''s stable name.';
GRANT SELECT ON audit.user_history TO keyturn_app;
GRANT SELECT ON audit.user_history TO keyturn_auditor;

-- ## view audit.users
CREATE VIEW audit.users AS
 SELECT id,
    username,
    roles,
    ver,
    disabled_at,
    reset_at,
    created_at
   FROM keyturn.users;
COMMENT ON VIEW audit.users IS 'Who may log in, without anything to log in with.';
COMMENT ON COLUMN audit.users.id IS 'Subject of the tokens, and of the history.';
COMMENT ON COLUMN audit.users.username IS 'What the person types to log in. Not part of the history: history knows ids.';
COMMENT ON COLUMN audit.users.roles IS 'What the user may do.';
COMMENT ON COLUMN audit.users.ver IS 'Rises when roles or standing change.';
COMMENT ON COLUMN audit.users.disabled_at IS 'Since when the user may not log in. Null: enabled.';
COMMENT ON COLUMN audit.users.reset_at IS 'When an administrator last asked for a password reset.';
COMMENT ON COLUMN audit.users.created_at IS 'When the row was made.';
GRANT SELECT ON audit.users TO keyturn_app;
GRANT SELECT ON audit.users TO keyturn_auditor;
