import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Versioned signing keys whose windows the database itself keeps from overlapping, their sealed private halves, and the servers that are up
 * and open them.
 */
export class SigningKeys1795000001000 implements MigrationInterface {
  name = 'SigningKeys1795000001000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(TABLES);
    await db.query(REPLICAS);
    await db.query(GUARDS);
    await db.query(HEALING);
    await db.query(GRANTS);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP TABLE keyturn.signing_key_secrets;
      DROP TABLE keyturn.signing_keys;
      DROP FUNCTION keyturn.guard_signing_key_secret();
      DROP FUNCTION keyturn.destroy_private_half();
      DROP FUNCTION keyturn.mend_signing_windows();
      DROP FUNCTION keyturn.guard_signing_key_update();
      DROP FUNCTION keyturn.guard_signing_key_insert();
      DROP FUNCTION keyturn.same_pair(integer);
      DROP FUNCTION keyturn.is_shut(integer);
      DROP FUNCTION keyturn.is_live(timestamptz);
      DROP TABLE keyturn.replicas;
      DROP FUNCTION keyturn.key_state(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz);
    `);
  }
}

const TABLES = `
  CREATE FUNCTION keyturn.key_state(
    activates_at timestamptz, retires_at timestamptz, expires_at timestamptz, revoked_at timestamptz, at_instant timestamptz
  ) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
      SELECT CASE
        WHEN revoked_at <= at_instant THEN 'revoked'
        WHEN at_instant < activates_at THEN 'pending'
        WHEN retires_at IS NULL OR at_instant < retires_at THEN 'active'
        WHEN expires_at IS NULL OR at_instant < expires_at THEN 'retiring'
        ELSE 'expired'
      END
    $$;
  COMMENT ON FUNCTION keyturn.key_state(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS
    'The state of a key at an instant is a function of its timestamps. Nothing stores it, no job flips it.';

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
    published_at timestamptz NOT NULL,
    activates_at timestamptz NOT NULL,
    retires_at timestamptz,
    expires_at timestamptz,
    lead keyturn.duration NOT NULL,
    max_token_ttl keyturn.duration NOT NULL,
    verify_tail keyturn.duration NOT NULL,
    revoked_at timestamptz,
    revocation_reason text,
    private_key_destroyed_at timestamptz,
    CONSTRAINT pk_signing_keys PRIMARY KEY (version),
    CONSTRAINT uq_signing_keys_kid UNIQUE (kid),
    CONSTRAINT fk_signing_keys_renewed_from FOREIGN KEY (renewed_from) REFERENCES keyturn.signing_keys (version),
    CONSTRAINT ck_signing_keys_version CHECK (version > 0),
    CONSTRAINT ck_signing_keys_kid CHECK (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
    CONSTRAINT ck_signing_keys_kid_derived CHECK (
      origin = 'imported'
      OR CASE WHEN thumbprint IS NULL THEN kid ~ ('^' || version || '-[A-Za-z0-9_-]{8}$')
              ELSE kid = version || '-' || left(thumbprint, 8) END
    ),
    CONSTRAINT ck_signing_keys_algorithm CHECK (algorithm IN (
      'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512'
    )),
    CONSTRAINT ck_signing_keys_origin CHECK (origin IN ('generated', 'imported', 'renewed')),
    CONSTRAINT ck_signing_keys_renewed CHECK ((origin = 'renewed') = (renewed_from IS NOT NULL)),
    CONSTRAINT ck_signing_keys_activation CHECK (
      (activation IS NOT NULL) = signs AND activation IN ('bootstrap', 'scheduled', 'early', 'forced', 'emergency')
    ),
    CONSTRAINT ck_signing_keys_verify_only CHECK (
      signs OR origin = 'imported' AND retires_at = activates_at AND expires_at IS NOT NULL
    ),
    CONSTRAINT ck_signing_keys_public_half CHECK (
      (algorithm LIKE 'HS%') = (public_jwk IS NULL) AND (public_jwk IS NULL) = (thumbprint IS NULL)
    ),
    CONSTRAINT ck_signing_keys_public_only CHECK (
      NOT public_jwk ?| ARRAY['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
    ),
    CONSTRAINT ck_signing_keys_public_members CHECK (public_jwk IS NULL OR coalesce(
      CASE WHEN algorithm LIKE 'ES%' THEN
        public_jwk @> CASE algorithm
          WHEN 'ES256' THEN '{"kty": "EC", "crv": "P-256"}'
          WHEN 'ES384' THEN '{"kty": "EC", "crv": "P-384"}'
          ELSE '{"kty": "EC", "crv": "P-521"}' END::jsonb
        AND public_jwk @? 'strict $.x ? (@ like_regex "^[A-Za-z0-9_-]{43,88}$")'
        AND public_jwk @? 'strict $.y ? (@ like_regex "^[A-Za-z0-9_-]{43,88}$")'
      ELSE
        public_jwk @> '{"kty": "RSA"}'
        AND public_jwk @? 'strict $.n ? (@ like_regex "^[A-Za-z0-9_-]+$")' AND char_length(public_jwk ->> 'n') BETWEEN 342 AND 683
        AND public_jwk @? 'strict $.e ? (@ like_regex "^[A-Za-z0-9_-]+$")'
      END, false)
    ),
    CONSTRAINT ck_signing_keys_thumbprint CHECK (thumbprint ~ '^[A-Za-z0-9_-]{43}$'),
    -- Infinity is no instant, and what a JavaScript Date cannot hold is none to a server.
    CONSTRAINT ck_signing_keys_instants CHECK (
      least(published_at, activates_at, retires_at, expires_at, revoked_at, private_key_destroyed_at) >= '1970-01-01 00:00:00+00'
      AND greatest(published_at, activates_at, retires_at, expires_at, revoked_at, private_key_destroyed_at) < '9999-12-31 00:00:00+00'
    ),
    CONSTRAINT ck_signing_keys_order CHECK (
      activates_at <= retires_at AND retires_at <= expires_at
      -- A clock that was set back makes the exceptions: a key goes on that was published later, by the clock of then.
      AND (NOT signs OR published_at <= activates_at OR activation IN ('forced', 'emergency'))
    ),
    CONSTRAINT ck_signing_keys_end CHECK ((retires_at IS NULL) = (expires_at IS NULL)),
    CONSTRAINT ck_signing_keys_lead CHECK (
      activation NOT IN ('scheduled', 'early') OR activates_at >= published_at + lead
    ),
    CONSTRAINT ck_signing_keys_policy CHECK (max_token_ttl > interval '0' AND verify_tail >= max_token_ttl),
    CONSTRAINT ck_signing_keys_tail CHECK (NOT signs OR expires_at >= retires_at + verify_tail),
    CONSTRAINT ck_signing_keys_revocation CHECK (
      (revoked_at IS NULL) = (revocation_reason IS NULL) AND revocation_reason <> ''
    ),
    CONSTRAINT ck_signing_keys_superseded CHECK (
      revocation_reason IS DISTINCT FROM 'superseded' OR signs AND retires_at = activates_at
    ),
    CONSTRAINT ck_signing_keys_revoked_window CHECK (revoked_at IS NULL OR retires_at <= greatest(activates_at, revoked_at)),
    CONSTRAINT ck_signing_keys_destroyed CHECK (
      private_key_destroyed_at IS NULL OR coalesce(revoked_at <= private_key_destroyed_at, false)
      OR coalesce(CASE WHEN algorithm LIKE 'HS%' THEN expires_at ELSE retires_at END <= private_key_destroyed_at, false)
    ),
    CONSTRAINT ex_signing_keys_one_signer EXCLUDE USING gist (tstzrange(activates_at, retires_at) WITH &&)
      -- A revoked one signs no more, and where the clock was set back behind its end another must.
      WHERE (signs AND revoked_at IS NULL) DEFERRABLE INITIALLY IMMEDIATE
  );
  CREATE INDEX ix_signing_keys_renewed_from ON keyturn.signing_keys (renewed_from);
  CREATE INDEX ix_signing_keys_thumbprint ON keyturn.signing_keys (thumbprint);
  CREATE INDEX ix_signing_keys_live ON keyturn.signing_keys (expires_at);

  COMMENT ON TABLE keyturn.signing_keys IS
    'One row a version of the key that signs access tokens. Timestamps are facts; rows are never deleted.';
  COMMENT ON COLUMN keyturn.signing_keys.version IS 'Counts 1, 2, 3 … without gaps; never reused.';
  COMMENT ON COLUMN keyturn.signing_keys.kid IS 'Key id in token headers and JWKS: version and the first 8 of the thumbprint.';
  COMMENT ON COLUMN keyturn.signing_keys.algorithm IS 'JWS algorithm (RFC 7518 section 3.1). A token''s header must say the same.';
  COMMENT ON COLUMN keyturn.signing_keys.signs IS 'False: kept only to verify tokens signed elsewhere.';
  COMMENT ON COLUMN keyturn.signing_keys.origin IS 'generated here, imported from outside, or renewed: an older pair under a new version.';
  COMMENT ON COLUMN keyturn.signing_keys.renewed_from IS 'The version whose pair this one carries on.';
  COMMENT ON COLUMN keyturn.signing_keys.activation IS
    'How its window begins: bootstrap, scheduled, early (rotated by hand), forced (before its lead was over), emergency.';
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
  COMMENT ON INDEX keyturn.ix_signing_keys_renewed_from IS 'Serves the foreign key and the search for rows of the same pair.';
  COMMENT ON INDEX keyturn.ix_signing_keys_thumbprint IS 'Finds every row that holds the same pair.';
  COMMENT ON INDEX keyturn.ix_signing_keys_live IS 'Keys that have not expired: what a replica loads.';

  CREATE TABLE keyturn.signing_key_secrets (
    version integer NOT NULL,
    kek_id text NOT NULL,
    sealed bytea NOT NULL,
    CONSTRAINT pk_signing_key_secrets PRIMARY KEY (version),
    CONSTRAINT fk_signing_key_secrets_version FOREIGN KEY (version) REFERENCES keyturn.signing_keys (version)
  );
  COMMENT ON TABLE keyturn.signing_key_secrets IS
    'Private halves, sealed under a key-encryption key that is never in the database. Deleted when a key can sign no more.';
  COMMENT ON COLUMN keyturn.signing_key_secrets.version IS 'Whose private half this is.';
  COMMENT ON COLUMN keyturn.signing_key_secrets.kek_id IS 'Which key-encryption key sealed it.';
  COMMENT ON COLUMN keyturn.signing_key_secrets.sealed IS
    'AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag. Associated data: kid, version, algorithm.';
`;

const REPLICAS = `
  CREATE TABLE keyturn.replicas (
    id uuid NOT NULL,
    code_version text NOT NULL,
    generation bigint NOT NULL,
    kek_ids text[] NOT NULL,
    opens integer[] NOT NULL,
    shut integer[] NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT keyturn.clock(),
    last_seen_at timestamptz NOT NULL,
    CONSTRAINT pk_replicas PRIMARY KEY (id)
  );
  CREATE INDEX ix_replicas_last_seen_at ON keyturn.replicas (last_seen_at);
  COMMENT ON TABLE keyturn.replicas IS 'Every server that is up: what it runs and what it knows. A row goes when its server stops in order, or has been silent for a day and cannot verify any more.';
  COMMENT ON COLUMN keyturn.replicas.id IS 'Made anew at each start.';
  COMMENT ON COLUMN keyturn.replicas.code_version IS 'Version of Keyturn it runs.';
  COMMENT ON COLUMN keyturn.replicas.generation IS 'seq of the newest key event it has loaded.';
  COMMENT ON COLUMN keyturn.replicas.kek_ids IS 'Key-encryption keys it holds, by id; the first is current.';
  COMMENT ON COLUMN keyturn.replicas.opens IS 'Versions whose private halves it has opened.';
  COMMENT ON COLUMN keyturn.replicas.shut IS 'Versions that sign, or are to, and whose private halves it cannot open.';
  COMMENT ON COLUMN keyturn.replicas.started_at IS 'When it started.';
  COMMENT ON COLUMN keyturn.replicas.last_seen_at IS 'When it last said so.';
  COMMENT ON INDEX keyturn.ix_replicas_last_seen_at IS 'Finds the silent ones.';
  GRANT SELECT, INSERT (id, code_version, generation, kek_ids, opens, shut, last_seen_at),
    UPDATE (generation, kek_ids, opens, shut, last_seen_at), DELETE ON keyturn.replicas TO keyturn_app;

  CREATE FUNCTION keyturn.is_live(last_seen_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT last_seen_at BETWEEN keyturn.clock() - interval '15 seconds' AND keyturn.clock() + interval '15 seconds' $$;
  COMMENT ON FUNCTION keyturn.is_live(timestamptz) IS 'Is a server that was seen then counted on? It says that it lives every 5 seconds. One seen in the time to come was seen before the clock '
    'was set back, and has not been heard of since.';
  GRANT EXECUTE ON FUNCTION keyturn.is_live(timestamptz) TO keyturn_app;

  CREATE FUNCTION keyturn.is_shut(of_version integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT coalesce(bool_or(of_version = ANY (shut)) AND NOT bool_or(of_version = ANY (opens)), false)
      FROM keyturn.replicas WHERE keyturn.is_live(last_seen_at)
    $$;
  COMMENT ON FUNCTION keyturn.is_shut(integer) IS
    'Does a live server fail to open the private half of this version, and does none open it? Where no live server has tried nothing is '
    'known, and it is not called shut.';
  GRANT EXECUTE ON FUNCTION keyturn.is_shut(integer) TO keyturn_app;
`;

const GUARDS = `
  CREATE FUNCTION keyturn.same_pair(of_version integer) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    $$;
  COMMENT ON FUNCTION keyturn.same_pair(integer) IS
    'Every version that holds the same key material: by thumbprint, or for HMAC, which has none, through renewed_from.';

  CREATE FUNCTION keyturn.guard_signing_key_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.guard_signing_key_insert() IS
    'Versions without gaps, no window in the past, no revoked pair again; published_at is the database''s to say.';

  CREATE FUNCTION keyturn.guard_signing_key_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.guard_signing_key_update() IS
    'Facts stay: what has passed is immutable, what lies ahead may move. A revocation stamps itself and closes its own window.';

  CREATE FUNCTION keyturn.guard_signing_key_secret() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.guard_signing_key_secret() IS
    'A private half is deleted by saying so on its key, so that the fact and the act are one.';

  CREATE TRIGGER tr_10_lock BEFORE INSERT OR UPDATE OR DELETE ON keyturn.signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_20_guard_insert BEFORE INSERT ON keyturn.signing_keys
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_insert();
  CREATE TRIGGER tr_20_guard_update BEFORE UPDATE ON keyturn.signing_keys
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_update();
  CREATE TRIGGER tr_30_no_delete BEFORE DELETE ON keyturn.signing_keys
    FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('signing keys are never deleted; revoke them');
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('signing keys are never deleted; revoke them');

  CREATE TRIGGER tr_10_lock BEFORE INSERT OR UPDATE OR DELETE ON keyturn.signing_key_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_20_guard BEFORE INSERT OR UPDATE OR DELETE ON keyturn.signing_key_secrets
    FOR EACH ROW EXECUTE FUNCTION keyturn.guard_signing_key_secret();
  CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.signing_key_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('private halves end with their keys');
`;

const HEALING = `
  CREATE FUNCTION keyturn.mend_signing_windows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.mend_signing_windows() IS
    'After any statement, by whoever''s hand: a revoked pair is dead everywhere, the standby takes over where nobody signs '
    'and a server may open it, and signing windows meet end to start.';

  CREATE FUNCTION keyturn.destroy_private_half() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      DELETE FROM keyturn.signing_key_secrets WHERE version = NEW.version;
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.destroy_private_half() IS 'The act that goes with the fact private_key_destroyed_at.';

  CREATE TRIGGER tr_40_destroy_private_half AFTER UPDATE ON keyturn.signing_keys
    FOR EACH ROW WHEN (OLD.private_key_destroyed_at IS NULL AND NEW.private_key_destroyed_at IS NOT NULL)
    EXECUTE FUNCTION keyturn.destroy_private_half();
  CREATE TRIGGER tr_60_mend AFTER INSERT OR UPDATE ON keyturn.signing_keys
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION keyturn.mend_signing_windows();
`;

const GRANTS = `
  GRANT EXECUTE ON FUNCTION keyturn.key_state(timestamptz, timestamptz, timestamptz, timestamptz, timestamptz)
    TO keyturn_app, keyturn_auditor;
  GRANT SELECT ON keyturn.signing_keys TO keyturn_app;
  GRANT INSERT (version, kid, algorithm, signs, origin, renewed_from, activation, public_jwk, thumbprint, published_at,
    activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail) ON keyturn.signing_keys TO keyturn_app;
  GRANT UPDATE (activation, activates_at, retires_at, expires_at, revoked_at, revocation_reason, private_key_destroyed_at)
    ON keyturn.signing_keys TO keyturn_app;
  GRANT SELECT, INSERT, UPDATE (kek_id, sealed) ON keyturn.signing_key_secrets TO keyturn_app;
`;
