import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The one way in for keys and history that were made elsewhere: verbatim, into an empty house, and proven whole before it is believed. */
export class RestoreBackup1795000008000 implements MigrationInterface {
  name = 'RestoreBackup1795000008000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE FUNCTION keyturn.restore_backup(bundle jsonb, keep_keys boolean) RETURNS void
        LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
        AS $$
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
        END $$;
      COMMENT ON FUNCTION keyturn.restore_backup(jsonb, boolean) IS
        'Writes keys, sealed halves and history verbatim where there are none, adds one event restored, and keeps them only if the '
        'history verifies. Unless keys are to be kept, every restored key is revoked. For keyturn_owner, through the migrator.';
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`DROP FUNCTION keyturn.restore_backup(jsonb, boolean)`);
  }
}
