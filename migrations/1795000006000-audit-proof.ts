import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What proves the history: its raw rows for the auditor, signed checkpoints, verification, and answers by index. */
export class AuditProof1795000006000 implements MigrationInterface {
  name = 'AuditProof1795000006000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(CHECKPOINTS);
    await db.query(RAW_VIEWS);
    await db.query(VERIFICATION);
    await db.query(KEYS_AT_AN_INSTANT);
    await db.query(KEY_SCHEDULE);
    await db.query(PEOPLE);
    await db.query(GRANTS);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP FUNCTION audit.actions_by(text);
      DROP VIEW audit.user_history;
      DROP VIEW audit.key_schedule;
      DROP FUNCTION audit.key_for(text, timestamptz);
      DROP FUNCTION audit.keys_valid_at(timestamptz);
      DROP INDEX keyturn.ix_signing_keys_verifying;
      DROP FUNCTION keyturn.verifying(timestamptz, timestamptz, timestamptz);
      DROP FUNCTION keyturn.in_words(timestamptz);
      DROP FUNCTION audit.verify_history();
      DROP VIEW audit.checkpoints;
      DROP VIEW audit.users;
      DROP VIEW audit.signing_keys;
      DROP VIEW audit.chain;
      DROP TABLE keyturn.audit_checkpoints;
      DROP FUNCTION keyturn.guard_checkpoint();
      DROP FUNCTION keyturn.jws_part(text, integer);
    `);
  }
}

const CHECKPOINTS = `
  CREATE FUNCTION keyturn.jws_part(jws text, part integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
      SELECT pg_catalog.convert_from(
        pg_catalog.decode(
          pg_catalog.rpad(encoded, (pg_catalog.length(encoded) + 3) / 4 * 4, '='),
          'base64'
        ), 'UTF8')::pg_catalog.jsonb
      FROM (SELECT pg_catalog.translate(pg_catalog.split_part(jws, '.', part), '-_', '+/') AS encoded) segment
    $$;
  COMMENT ON FUNCTION keyturn.jws_part(text, integer) IS
    'What a compact JWS (RFC 7515) says, unverified: 1 its header, 2 its payload.';

  CREATE TABLE keyturn.audit_checkpoints (
    seq bigint NOT NULL GENERATED ALWAYS AS ((keyturn.jws_part(jws, 2) ->> 'seq')::bigint) STORED,
    hash text NOT NULL GENERATED ALWAYS AS (keyturn.jws_part(jws, 2) ->> 'hash') STORED,
    jws text NOT NULL,
    signed_by text NOT NULL GENERATED ALWAYS AS (keyturn.jws_part(jws, 1) ->> 'kid') STORED,
    signed_at timestamptz NOT NULL GENERATED ALWAYS AS (to_timestamp((keyturn.jws_part(jws, 2) ->> 'iat')::double precision)) STORED,
    CONSTRAINT pk_audit_checkpoints PRIMARY KEY (seq),
    CONSTRAINT ck_audit_checkpoints_hash CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ck_audit_checkpoints_jws CHECK (
      jws ~ '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$' AND char_length(jws) <= 4096
    ),
    CONSTRAINT ck_audit_checkpoints_typ CHECK (coalesce(keyturn.jws_part(jws, 1) ->> 'typ' = 'keyturn-checkpoint+jwt', false)),
    CONSTRAINT ck_audit_checkpoints_algorithm CHECK (coalesce(keyturn.jws_part(jws, 1) ->> 'alg' NOT LIKE 'HS%', false))
  );
  COMMENT ON TABLE keyturn.audit_checkpoints IS
    'Heads of the history, signed by a server soon after each event. Append-only. Keep copies elsewhere: a copy proves what this table cannot.';
  COMMENT ON COLUMN keyturn.audit_checkpoints.seq IS 'The newest row of audit_log when it was signed, from jws.';
  COMMENT ON COLUMN keyturn.audit_checkpoints.hash IS 'The hash of that row, from jws.';
  COMMENT ON COLUMN keyturn.audit_checkpoints.jws IS
    'Compact JWS (RFC 7515) with typ keyturn-checkpoint+jwt over seq, hash and iat.';
  COMMENT ON COLUMN keyturn.audit_checkpoints.signed_by IS 'kid of the signing key, from jws.';
  COMMENT ON COLUMN keyturn.audit_checkpoints.signed_at IS 'When it was signed, by the server''s corrected clock, from jws.';

  CREATE FUNCTION keyturn.guard_checkpoint() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.guard_checkpoint() IS 'Refuses a checkpoint over a row that is not there, or under a key that did not sign then. Clocks may differ by two minutes.';

  CREATE TRIGGER tr_20_guard BEFORE INSERT ON keyturn.audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_checkpoint();
  CREATE TRIGGER tr_30_append_only BEFORE UPDATE OR DELETE ON keyturn.audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('checkpoints are append-only');
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('checkpoints are append-only');
`;

const RAW_VIEWS = `
  CREATE VIEW audit.chain AS
    SELECT seq, prev_hash, entry, hash, at, event, version, subject, actor FROM keyturn.audit_log;
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

  CREATE VIEW audit.signing_keys AS
    SELECT version, kid, algorithm, signs, origin, renewed_from, activation, public_jwk, thumbprint, published_at, activates_at,
      retires_at, expires_at, lead, max_token_ttl, verify_tail, revoked_at, revocation_reason, private_key_destroyed_at
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

  CREATE VIEW audit.users AS
    SELECT id, username, roles, ver, disabled_at, reset_at, created_at FROM keyturn.users;
  COMMENT ON VIEW audit.users IS 'Who may log in, without anything to log in with.';
  COMMENT ON COLUMN audit.users.id IS 'Subject of the tokens, and of the history.';
  COMMENT ON COLUMN audit.users.username IS 'What the person types to log in. Not part of the history: history knows ids.';
  COMMENT ON COLUMN audit.users.roles IS 'What the user may do.';
  COMMENT ON COLUMN audit.users.ver IS 'Rises when roles or standing change.';
  COMMENT ON COLUMN audit.users.disabled_at IS 'Since when the user may not log in. Null: enabled.';
  COMMENT ON COLUMN audit.users.reset_at IS 'When an administrator last asked for a password reset.';
  COMMENT ON COLUMN audit.users.created_at IS 'When the row was made.';

  CREATE VIEW audit.checkpoints AS
    SELECT seq, hash, signed_at, signed_by, jws FROM keyturn.audit_checkpoints;
  COMMENT ON VIEW audit.checkpoints IS 'Signed heads of the history. Keep a copy of the newest where the DBA cannot reach.';
  COMMENT ON COLUMN audit.checkpoints.seq IS 'The row of audit.chain that was the newest.';
  COMMENT ON COLUMN audit.checkpoints.hash IS 'Its hash, which stands for every row up to it.';
  COMMENT ON COLUMN audit.checkpoints.signed_at IS 'When.';
  COMMENT ON COLUMN audit.checkpoints.signed_by IS 'With which key: its kid.';
  COMMENT ON COLUMN audit.checkpoints.jws IS 'The signed text: verify it with the public key of that kid.';
`;

const VERIFICATION = `
  CREATE FUNCTION audit.verify_history(
    OUT ok boolean, OUT checked bigint, OUT head_seq bigint, OUT head_hash text, OUT keys bigint, OUT users bigint,
    OUT checkpoints bigint, OUT problem text, OUT seq bigint, OUT version integer, OUT user_id uuid
  )
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET jit = off
    AS $$
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
    END $$;
  COMMENT ON FUNCTION audit.verify_history() IS
    'Is the history whole? Every hash and link is computed again, every checkpoint is looked up, and the events folded from the '
    'beginning must give all of signing_keys, and the id, roles, standing and ver of users, as they are. One row: ok, or the problem '
    'and the first row (seq), signing key (version) or user (user_id) that does not fit. A checkpoint must name a key that signed then; whether that key did sign it: keyturn audit verify.';
`;

const KEYS_AT_AN_INSTANT = `
  CREATE FUNCTION keyturn.in_words(instant timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT pg_catalog.to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') $$;
  COMMENT ON FUNCTION keyturn.in_words(timestamptz) IS 'An instant as a person reads it.';

  CREATE FUNCTION keyturn.verifying(activates_at timestamptz, expires_at timestamptz, revoked_at timestamptz) RETURNS tstzrange
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
      SELECT pg_catalog.tstzrange(activates_at,
        CASE WHEN least(expires_at, revoked_at) < activates_at THEN activates_at ELSE least(expires_at, revoked_at) END)
    $$;
  COMMENT ON FUNCTION keyturn.verifying(timestamptz, timestamptz, timestamptz) IS
    'When tokens under a key are accepted: from its activation until it expires or is revoked. Empty for one that was revoked before.';
  CREATE INDEX ix_signing_keys_verifying ON keyturn.signing_keys USING gist (keyturn.verifying(activates_at, expires_at, revoked_at));
  COMMENT ON INDEX keyturn.ix_signing_keys_verifying IS 'Which keys were good at an instant, and which may be from now on.';

  CREATE FUNCTION audit.keys_valid_at(at_instant timestamptz)
    RETURNS TABLE (version integer, kid text, algorithm text, state text, active_from timestamptz, active_to timestamptz, verifies_until timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
      SELECT k.version, k.kid, k.algorithm,
        keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, at_instant),
        CASE WHEN k.signs THEN k.activates_at END, CASE WHEN k.signs THEN k.retires_at END,
        CASE WHEN k.revoked_at < k.expires_at THEN k.revoked_at ELSE k.expires_at END
      FROM audit.signing_keys k
      WHERE keyturn.verifying(k.activates_at, k.expires_at, k.revoked_at) @> at_instant;
    END;
  COMMENT ON FUNCTION audit.keys_valid_at(timestamptz) IS
    'Which keys were good at an instant? Those under which tokens were accepted: one active, which signed, and the retiring ones. '
    'For an instant ahead: as it is planned today.';

  CREATE FUNCTION audit.key_for(of_kid text, at_instant timestamptz)
    RETURNS TABLE (kid text, version integer, algorithm text, good boolean, state text, why text, revoked_at timestamptz, revocation_reason text)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
      SELECT of_kid, k.version, k.algorithm,
        coalesce(CASE WHEN k.signs THEN life.state = 'active' ELSE life.state = 'retiring' END, false),
        coalesce(life.state, 'unknown'),
        CASE
          WHEN k.version IS NULL THEN 'no key ever had this kid'
          WHEN life.state = 'revoked' THEN 'it was revoked at ' || keyturn.in_words(k.revoked_at)
          WHEN NOT k.signs THEN 'it only verifies, from ' || keyturn.in_words(k.activates_at) || ' until ' || keyturn.in_words(k.expires_at)
          WHEN k.retires_at = k.activates_at THEN 'it never signed'
          WHEN life.state = 'pending' THEN 'it signs only from ' || keyturn.in_words(k.activates_at)
          WHEN life.state = 'active' THEN 'it signed from ' || keyturn.in_words(k.activates_at)
          ELSE 'it signed only until ' || keyturn.in_words(k.retires_at)
        END,
        k.revoked_at, k.revocation_reason
      FROM (SELECT) AS always
      LEFT JOIN audit.signing_keys k ON k.kid = of_kid
      LEFT JOIN LATERAL (
        SELECT keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, at_instant) AS state WHERE k.version IS NOT NULL
      ) life ON true;
    END;
  COMMENT ON FUNCTION audit.key_for(text, timestamptz) IS
    'Was this key good when a token was signed? Always one row: good, in which state it was, and why. revoked_at says whether it was '
    'revoked, then or later. Servers accept tokens signed about a minute outside a window, since clocks differ; this answer does not.';
`;

const KEY_SCHEDULE = `
  CREATE VIEW audit.key_schedule AS
    WITH instant AS MATERIALIZED (SELECT keyturn.clock() AS now),
    live AS (
      SELECT k.version, k.kid, k.signs, k.activates_at, k.retires_at, k.expires_at,
        keyturn.key_state(k.activates_at, k.retires_at, k.expires_at, k.revoked_at, (SELECT now FROM instant)) AS state
      FROM keyturn.signing_keys k
      WHERE k.revoked_at IS NULL
        AND keyturn.verifying(k.activates_at, k.expires_at, k.revoked_at) && tstzrange((SELECT now FROM instant), NULL)
    )
    SELECT due.due_at, due.what, due.version, due.kid, due.overdue, due.in_words
    FROM (
      SELECT NULL::timestamptz AS due_at, 'signer' AS what, NULL::integer AS version, NULL::text AS kid, true AS overdue,
        'no key is active: nothing can be signed until a server that holds the key-encryption key makes one' AS in_words
      WHERE NOT EXISTS (SELECT FROM live WHERE signs AND state = 'active')
      UNION ALL
      SELECT NULL, 'standby', NULL, NULL, true,
        'no standby is published: a server that holds the key-encryption key publishes one within a minute'
      WHERE NOT EXISTS (SELECT FROM live WHERE signs AND state = 'pending')
      UNION ALL
      SELECT activates_at, 'takeover', version, kid, false, kid || ' begins to sign'
      FROM live WHERE signs AND state = 'pending'
      UNION ALL
      SELECT expires_at, 'expiry', version, kid, false, 'tokens under ' || kid || ' are refused from then on'
      FROM live WHERE expires_at IS NOT NULL
    ) due
    ORDER BY due.due_at NULLS FIRST, due.what, due.version;
  COMMENT ON VIEW audit.key_schedule IS 'What is due? What is overdue comes first; then takeovers and expiries, soonest first.';
  COMMENT ON COLUMN audit.key_schedule.due_at IS 'When. Null: it should be there already.';
  COMMENT ON COLUMN audit.key_schedule.what IS 'signer or standby: one is wanting; takeover; expiry.';
  COMMENT ON COLUMN audit.key_schedule.version IS 'Which key: its version.';
  COMMENT ON COLUMN audit.key_schedule.kid IS 'Which key: its kid.';
  COMMENT ON COLUMN audit.key_schedule.overdue IS 'True: somebody should look.';
  COMMENT ON COLUMN audit.key_schedule.in_words IS 'What will happen, or what is wanting.';
`;

const PEOPLE = `
  CREATE VIEW audit.user_history AS
    SELECT
      log.seq,
      log.at,
      log.subject AS user_id,
      subject.username,
      CASE log.event
        WHEN 'user_created' THEN 'created' || coalesce(' with the roles ' || entry.new_roles, ' without a role')
        WHEN 'user_roles_changed' THEN 'roles changed from ' || coalesce(entry.old_roles, 'none') || ' to ' || coalesce(entry.new_roles, 'none')
        WHEN 'user_disabled' THEN 'disabled'
        WHEN 'user_enabled' THEN 'enabled'
        WHEN 'user_reset' THEN 'password reset asked for'
        WHEN 'user_renamed' THEN 'renamed'
        WHEN 'user_password_changed' THEN 'password set'
        WHEN 'user_sessions_ended' THEN 'sessions ended: ' || entry.sessions
        WHEN 'user_erased' THEN 'erased'
        WHEN 'user_changed' THEN 'changed: ' || entry.members
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
      SELECT j ->> 'reason' AS reason, j ->> 'request_id' AS request_id, j ->> 'session_user' AS database_user,
        (j ->> 'client_addr')::inet AS client_address, j ->> 'application_name' AS application,
        (SELECT string_agg(role, ', ') FROM jsonb_array_elements_text(j #> '{old,roles}') role) AS old_roles,
        (SELECT string_agg(role, ', ') FROM jsonb_array_elements_text(j #> '{new,roles}') role) AS new_roles,
        j #>> '{new,sessions}' AS sessions,
        (SELECT string_agg(member.key || ' is ' || member.value, ', ' ORDER BY member.key) FROM jsonb_each_text(nullif(j -> 'new', 'null')) member) AS members
      FROM (SELECT log.entry::jsonb AS j) parsed
    ) entry
    LEFT JOIN keyturn.users subject ON subject.id = log.subject
    LEFT JOIN keyturn.users actor ON actor.id = log.actor
    WHERE log.subject IS NOT NULL
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

  CREATE FUNCTION audit.actions_by(person text)
    RETURNS TABLE (seq bigint, at timestamptz, whom text, what text, reason text, request_id text, database_user text, client_address inet, application text, event text)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
      SELECT log.seq, log.at, told.whom, told.what, told.reason, told.request_id, told.database_user, told.client_address, told.application, log.event
      FROM audit.chain log
      CROSS JOIN LATERAL (
        SELECT 'key ' || h.kid AS whom, h.what, h.reason, h.request_id, h.database_user, h.client_address, h.application
        FROM audit.key_history h WHERE h.seq = log.seq
        UNION ALL
        SELECT coalesce(h.username, 'user ' || h.user_id), h.what, h.reason, h.request_id, h.database_user, h.client_address, h.application
        FROM audit.user_history h WHERE h.seq = log.seq
      ) told
      WHERE log.actor = coalesce(
        (SELECT u.id FROM audit.users u WHERE lower(u.username) = lower(person)),
        CASE WHEN person ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN person::uuid END
      )
      ORDER BY log.seq;
    END;
  COMMENT ON FUNCTION audit.actions_by(text) IS
    'What did a person do? By username, or by id where the person was erased. As the application claims: database_user is what Postgres knew.';
`;

const GRANTS = `
  GRANT SELECT, INSERT (jws) ON keyturn.audit_checkpoints TO keyturn_app;
  GRANT EXECUTE ON FUNCTION keyturn.jws_part(text, integer) TO keyturn_app;
  GRANT EXECUTE ON FUNCTION keyturn.in_words(timestamptz) TO keyturn_app, keyturn_auditor;
  GRANT EXECUTE ON FUNCTION keyturn.verifying(timestamptz, timestamptz, timestamptz) TO keyturn_app, keyturn_auditor;
  GRANT SELECT ON audit.chain, audit.signing_keys, audit.users, audit.checkpoints, audit.key_schedule, audit.user_history
    TO keyturn_app, keyturn_auditor;
  GRANT EXECUTE ON FUNCTION audit.verify_history(), audit.keys_valid_at(timestamptz), audit.key_for(text, timestamptz), audit.actions_by(text)
    TO keyturn_app, keyturn_auditor;
`;
