import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How a database knows that it was restored from a dump, and the one act that keeps what was revoked since from reviving. */
export class Reconciliation1795000004500 implements MigrationInterface {
  name = 'Reconciliation1795000004500';

  async up(db: QueryRunner): Promise<void> {
    await db.query(INCARNATION);
    await db.query(RECONCILE);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP FUNCTION keyturn.reconcile(text, boolean, timestamptz);
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
    since timestamptz NOT NULL,
    reason text NOT NULL,
    kept boolean NOT NULL,
    CONSTRAINT pk_incarnation PRIMARY KEY (only_row),
    CONSTRAINT ck_incarnation_only_row CHECK (only_row)
  );
  COMMENT ON TABLE keyturn.incarnation IS
    'One row that says by which transaction it was written. A copy of it, as pg_restore makes, was written by another: so the database '
    'knows that it was restored from a dump. See is_restored() and reconcile().';
  COMMENT ON COLUMN keyturn.incarnation.only_row IS 'Always true: there is one row.';
  COMMENT ON COLUMN keyturn.incarnation.written_by IS 'The transaction that wrote the row: the same as its xmin, unless it is a copy.';
  COMMENT ON COLUMN keyturn.incarnation.since IS 'When the database was made, or reconciled last.';
  COMMENT ON COLUMN keyturn.incarnation.reason IS 'Why it was reconciled last.';
  COMMENT ON COLUMN keyturn.incarnation.kept IS 'Whether keys and sessions were kept then.';
  INSERT INTO keyturn.incarnation (written_by, since, reason, kept) VALUES (pg_current_xact_id(), keyturn.clock(), 'made', true);

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

const RECONCILE = `
  CREATE FUNCTION keyturn.reconcile(
    why text, keep boolean, unless_since timestamptz DEFAULT NULL,
    OUT done boolean, OUT keys bigint, OUT sessions bigint, OUT codes bigint
  )
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
      instant timestamptz := keyturn.begin_change();
    BEGIN
      keys := 0; sessions := 0; codes := 0;
      done := unless_since IS NULL OR keyturn.is_restored()
        OR NOT EXISTS (SELECT FROM keyturn.incarnation WHERE since > unless_since);
      IF NOT done THEN RETURN; END IF;
      IF NOT keep THEN
        -- What was revoked, ended or spent after the copy was made is not known here.
        UPDATE keyturn.signing_keys SET revoked_at = instant, revocation_reason = why
          WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > instant);
        GET DIAGNOSTICS keys = ROW_COUNT;
        UPDATE keyturn.sessions SET ended_at = instant, end_reason = 'restored' WHERE ended_at IS NULL;
        GET DIAGNOSTICS sessions = ROW_COUNT;
        UPDATE keyturn.one_time_codes SET redeemed_at = instant WHERE redeemed_at IS NULL;
        GET DIAGNOSTICS codes = ROW_COUNT;
      END IF;
      INSERT INTO keyturn.incarnation AS i (written_by, since, reason, kept) VALUES (pg_current_xact_id(), instant, why, keep)
        ON CONFLICT ON CONSTRAINT pk_incarnation
        DO UPDATE SET written_by = excluded.written_by, since = excluded.since, reason = excluded.reason, kept = excluded.kept;
      IF keyturn.is_restored() THEN
        RAISE EXCEPTION 'reconcile outside of any savepoint' USING ERRCODE = 'invalid_transaction_state';
      END IF;
    END $$;
  COMMENT ON FUNCTION keyturn.reconcile(text, boolean, timestamptz) IS
    'After an older copy of the database was restored: revokes every key that lives, ends every session, voids every code, and says so in '
    'history; keep: only the last, where it is known that nothing was lost. A server makes new keys at once. With unless_since nothing is '
    'done when that was reconciled since.';
  GRANT EXECUTE ON FUNCTION keyturn.reconcile(text, boolean, timestamptz) TO keyturn_app;
`;
