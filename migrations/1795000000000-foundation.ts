import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The clock, the lock every change takes, and the words for lengths of time. Schemas come from roles.sql. */
export class Foundation1795000000000 implements MigrationInterface {
  name = 'Foundation1795000000000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      COMMENT ON SCHEMA keyturn IS 'Keyturn: signing keys, users, sessions and their history. Written by the server alone.';
      COMMENT ON SCHEMA audit IS 'What an auditor may read: views and functions over the history of keys and users.';
      GRANT USAGE ON SCHEMA keyturn TO keyturn_app;
      GRANT USAGE ON SCHEMA audit TO keyturn_app, keyturn_auditor;
      GRANT SELECT ON keyturn.migrations TO keyturn_app;
      ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
      ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;

      COMMENT ON TABLE keyturn.migrations IS 'Which migrations have been applied. Kept by TypeORM.';
      COMMENT ON COLUMN keyturn.migrations.id IS 'Running number.';
      COMMENT ON COLUMN keyturn.migrations."timestamp" IS 'The number in the migration''s name: milliseconds since 1970.';
      COMMENT ON COLUMN keyturn.migrations.name IS 'The migration''s class name.';

      CREATE DOMAIN keyturn.duration AS interval
        CONSTRAINT ck_duration_exact CHECK (
          extract(year FROM VALUE) = 0 AND extract(month FROM VALUE) = 0 AND extract(day FROM VALUE) = 0
          AND VALUE >= interval '0'
        );
      COMMENT ON DOMAIN keyturn.duration IS
        'A length of time in hours, minutes and seconds. Never days or months: their length depends on the time zone.';
      GRANT USAGE ON TYPE keyturn.duration TO keyturn_app;

      CREATE FUNCTION keyturn.clock() RETURNS timestamptz
        LANGUAGE sql VOLATILE PARALLEL SAFE
        AS $$ SELECT pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp()) $$;
      COMMENT ON FUNCTION keyturn.clock() IS
        'The only clock that facts are stamped with. Milliseconds, so that a JavaScript Date holds it exactly.';
      GRANT EXECUTE ON FUNCTION keyturn.clock() TO keyturn_app, keyturn_auditor;

      CREATE TABLE keyturn.current_change (
        only_row boolean NOT NULL DEFAULT true,
        transaction_id xid8 NOT NULL,
        instant timestamptz NOT NULL,
        CONSTRAINT pk_current_change PRIMARY KEY (only_row),
        CONSTRAINT ck_current_change_only_row CHECK (only_row)
      );
      COMMENT ON TABLE keyturn.current_change IS
        'One row: the transaction that changed keys or users last, and the one instant at which all it did happened.';
      COMMENT ON COLUMN keyturn.current_change.only_row IS 'Always true: there is one row.';
      COMMENT ON COLUMN keyturn.current_change.transaction_id IS 'The transaction that holds, or held last, the right to change.';
      COMMENT ON COLUMN keyturn.current_change.instant IS 'keyturn.clock(), read once after the lock was taken.';
      INSERT INTO keyturn.current_change (transaction_id, instant) VALUES ('0', 'epoch');

      CREATE FUNCTION keyturn.begin_change() RETURNS timestamptz
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
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
        END $$;
      COMMENT ON FUNCTION keyturn.begin_change() IS
        'Takes the one lock that every change of keys, users and history takes, and returns the instant of this transaction. '
        'Read what you decide by in a later statement.';
      GRANT EXECUTE ON FUNCTION keyturn.begin_change() TO keyturn_app;

      CREATE FUNCTION keyturn.take_change_lock() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$ BEGIN PERFORM keyturn.begin_change(); RETURN NULL; END $$;
      COMMENT ON FUNCTION keyturn.take_change_lock() IS
        'BEFORE STATEMENT: hand edits queue like everybody else. A lock taken in a row trigger would deadlock against them.';

      CREATE FUNCTION keyturn.refuse_change() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        BEGIN
          RAISE EXCEPTION '% on %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'insufficient_privilege';
        END $$;
      COMMENT ON FUNCTION keyturn.refuse_change() IS 'Refuses the statement to everybody, the owner too. The argument says why.';

      CREATE FUNCTION keyturn.stamp_current_change() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        BEGIN
          NEW.transaction_id := pg_current_xact_id();
          NEW.instant := CASE WHEN OLD.transaction_id = NEW.transaction_id THEN OLD.instant ELSE keyturn.clock() END;
          RETURN NEW;
        END $$;
      COMMENT ON FUNCTION keyturn.stamp_current_change() IS
        'Whatever a hand writes here, the row says this transaction and the time of the clock: every guard believes it.';

      CREATE TRIGGER tr_20_stamp BEFORE UPDATE ON keyturn.current_change
        FOR EACH ROW EXECUTE FUNCTION keyturn.stamp_current_change();
      CREATE TRIGGER tr_30_one_row BEFORE INSERT OR DELETE ON keyturn.current_change
        FOR EACH ROW EXECUTE FUNCTION keyturn.refuse_change('its one row stays');
      CREATE TRIGGER tr_30_no_truncate BEFORE TRUNCATE ON keyturn.current_change
        FOR EACH STATEMENT EXECUTE FUNCTION keyturn.refuse_change('its one row stays');
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP TABLE keyturn.current_change;
      DROP FUNCTION keyturn.stamp_current_change();
      DROP FUNCTION keyturn.refuse_change();
      DROP FUNCTION keyturn.take_change_lock();
      DROP FUNCTION keyturn.begin_change();
      DROP FUNCTION keyturn.clock();
      DROP DOMAIN keyturn.duration;
      COMMENT ON COLUMN keyturn.migrations.name IS NULL;
      COMMENT ON COLUMN keyturn.migrations."timestamp" IS NULL;
      COMMENT ON COLUMN keyturn.migrations.id IS NULL;
      COMMENT ON TABLE keyturn.migrations IS NULL;
      ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
      ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
      REVOKE SELECT ON keyturn.migrations FROM keyturn_app;
      REVOKE USAGE ON SCHEMA audit FROM keyturn_app, keyturn_auditor;
      REVOKE USAGE ON SCHEMA keyturn FROM keyturn_app;
      COMMENT ON SCHEMA audit IS NULL;
      COMMENT ON SCHEMA keyturn IS NULL;
    `);
  }
}
