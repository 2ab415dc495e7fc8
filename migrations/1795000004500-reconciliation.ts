import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How a database knows that it was restored from a dump, and the one act that keeps what was revoked since from reviving. */
export class Reconciliation1795000004500 implements MigrationInterface {
  name = 'Reconciliation1795000004500';

  async up(db: QueryRunner): Promise<void> {
    await db.query(INCARNATION);
    await db.query(NUMBERED);
    await db.query(RECONCILE);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP FUNCTION keyturn.reconcile(text, boolean, bigint);
      DROP TRIGGER tr_15_keep_incarnation ON keyturn.one_time_codes;
      ALTER TABLE keyturn.one_time_codes DROP COLUMN incarnation;
      DROP TRIGGER tr_15_keep_incarnation ON keyturn.sessions;
      ALTER TABLE keyturn.sessions DROP COLUMN incarnation;
      DROP FUNCTION keyturn.incarnation_number();
      DROP FUNCTION keyturn.is_restored();
      DROP TABLE keyturn.incarnation;
      DROP FUNCTION keyturn.record_reconciliation();
    `);
  }
}

const INCARNATION = `
  CREATE TABLE keyturn.incarnation (
    only_row boolean NOT NULL DEFAULT true,
    written_by xid8 NOT NULL,
    number bigint NOT NULL,
    lives_from bigint NOT NULL,
    since timestamptz NOT NULL,
    reason text NOT NULL,
    kept boolean NOT NULL,
    CONSTRAINT pk_incarnation PRIMARY KEY (only_row),
    CONSTRAINT ck_incarnation_only_row CHECK (only_row),
    CONSTRAINT ck_incarnation_lives_from CHECK (lives_from BETWEEN 1 AND number)
  );
  COMMENT ON TABLE keyturn.incarnation IS
    'One row that says by which transaction it was written. A copy of it, as pg_restore makes, was written by another: so the database '
    'knows that it was restored from a dump. See is_restored() and reconcile(). Never rewrite this table, as ALTER COLUMN ... TYPE does: '
    'that is a copy too.';
  COMMENT ON COLUMN keyturn.incarnation.only_row IS 'Always true: there is one row.';
  COMMENT ON COLUMN keyturn.incarnation.written_by IS 'The transaction that wrote the row: the same as its xmin, unless it is a copy.';
  COMMENT ON COLUMN keyturn.incarnation.number IS 'Rises with every reconciliation, above whatever a server that asked for it knew.';
  COMMENT ON COLUMN keyturn.incarnation.lives_from IS 'Sessions and codes of a lower number are over: one row ends any number of them.';
  COMMENT ON COLUMN keyturn.incarnation.since IS 'When the database was made, or reconciled last.';
  COMMENT ON COLUMN keyturn.incarnation.reason IS 'Why it was reconciled last.';
  COMMENT ON COLUMN keyturn.incarnation.kept IS 'Whether keys and sessions were kept then.';
  INSERT INTO keyturn.incarnation (written_by, number, lives_from, since, reason, kept)
    VALUES (pg_current_xact_id(), 1, 1, keyturn.clock(), 'made', true);
  GRANT SELECT (lives_from) ON keyturn.incarnation TO keyturn_app;

  CREATE FUNCTION keyturn.is_restored() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT NOT EXISTS (SELECT FROM keyturn.incarnation WHERE xmin = written_by::xid) $$;
  COMMENT ON FUNCTION keyturn.is_restored() IS
    'Do these rows come from a dump (or logical replication), and was that not reconciled since? A physical copy does not know.';
  GRANT EXECUTE ON FUNCTION keyturn.is_restored() TO keyturn_app;

  CREATE FUNCTION keyturn.record_reconciliation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      PERFORM keyturn.append_history('reconciled', NULL, NULL, NULL, NEW.reason, NULL, jsonb_build_object('kept', NEW.kept));
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.record_reconciliation() IS 'Writes into history that a restored database was reconciled.';
  CREATE TRIGGER tr_10_lock BEFORE INSERT OR UPDATE ON keyturn.incarnation
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_50_record AFTER INSERT OR UPDATE ON keyturn.incarnation
    FOR EACH ROW EXECUTE FUNCTION keyturn.record_reconciliation();
`;

/** Which incarnation a session and a code are of. Their rows are not touched when they are over. */
const NUMBERED = `
  CREATE FUNCTION keyturn.incarnation_number() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT number FROM keyturn.incarnation $$;
  COMMENT ON FUNCTION keyturn.incarnation_number() IS 'What a session or code that begins now is numbered with.';
  GRANT EXECUTE ON FUNCTION keyturn.incarnation_number() TO keyturn_app;

  ALTER TABLE keyturn.sessions ADD COLUMN incarnation bigint NOT NULL DEFAULT keyturn.incarnation_number();
  COMMENT ON COLUMN keyturn.sessions.incarnation IS 'Number of the incarnation it began in. Below incarnation.lives_from it is over.';
  CREATE TRIGGER tr_15_keep_incarnation BEFORE UPDATE OF incarnation ON keyturn.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('a session stays of the incarnation it began in');

  ALTER TABLE keyturn.one_time_codes ADD COLUMN incarnation bigint NOT NULL DEFAULT keyturn.incarnation_number();
  COMMENT ON COLUMN keyturn.one_time_codes.incarnation IS 'Number of the incarnation it was made in. Below incarnation.lives_from it is void.';
  CREATE TRIGGER tr_15_keep_incarnation BEFORE UPDATE OF incarnation ON keyturn.one_time_codes
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('a code stays of the incarnation it was made in');
`;

const RECONCILE = `
  CREATE FUNCTION keyturn.reconcile(
    why text, keep boolean, heard bigint DEFAULT NULL, OUT done boolean, OUT keys bigint
  )
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.reconcile(text, boolean, bigint) IS
    'After an older copy of the database was restored: revokes every key that lives, ends every session and voids every code by one row, '
    'and says so in history; keep: only the last, where it is known that nothing was lost. A server makes new keys at once. heard: the '
    'incarnation that the caller knew; nothing is done when this is a later one.';
  GRANT EXECUTE ON FUNCTION keyturn.reconcile(text, boolean, bigint) TO keyturn_app;
`;
