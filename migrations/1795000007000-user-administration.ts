import type { MigrationInterface, QueryRunner } from 'typeorm';

/** History of renamed users, changed passwords and sessions that others ended, and users in the order in which they came. */
export class UserAdministration1795000007000 implements MigrationInterface {
  name = 'UserAdministration1795000007000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(HISTORY);
    await db.query(`
      CREATE INDEX ix_users_created_at ON keyturn.users (created_at, id);
      COMMENT ON INDEX keyturn.ix_users_created_at IS 'Users page by page, oldest first.';
      COMMENT ON COLUMN keyturn.users.password_hash IS
        'Argon2id, PHC string. Null: invited, or reset (reset_at), and no password set since.';
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      COMMENT ON COLUMN keyturn.users.password_hash IS 'Argon2id, PHC string. Null: invited, no password set yet.';
      DROP INDEX keyturn.ix_users_created_at;
      DROP TRIGGER tr_50_record ON keyturn.sessions;
      DROP TRIGGER tr_10_lock ON keyturn.sessions;
      DROP FUNCTION keyturn.record_ended_sessions();
      DROP TRIGGER tr_51_record ON keyturn.users;
      DROP TRIGGER tr_11_lock ON keyturn.users;
      DROP FUNCTION keyturn.record_account_change();
    `);
    await db.query(events([]));
  }
}

/** What may be written into history. Each kind of event is in one place, so that a misspelt one is refused. */
const events = (more: readonly string[]): string => `
  ALTER TABLE keyturn.audit_log DROP CONSTRAINT ck_audit_log_event;
  ALTER TABLE keyturn.audit_log ADD CONSTRAINT ck_audit_log_event CHECK (event IN (
    'bootstrapped', 'published', 'scheduled', 'taken_over_early', 'taken_over_forced', 'taken_over_by_emergency', 'renewed',
    'imported', 'superseded', 'revoked', 'private_half_destroyed', 'resealed', 'restored', 'reconciled',
    'user_created', 'user_roles_changed', 'user_disabled', 'user_enabled', 'user_reset', 'user_changed', 'user_erased'
    ${more.map((event) => `, '${event}'`).join('')}
  ));
`;

const HISTORY = `
  ${events(['user_renamed', 'user_password_changed', 'user_sessions_ended'])}

  CREATE FUNCTION keyturn.record_account_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      IF NEW.username <> OLD.username THEN
        PERFORM keyturn.append_history('user_renamed', NULL, NULL, NEW.id, NULL, '{}', '{}');
      END IF;
      IF NEW.password_changed_at IS DISTINCT FROM OLD.password_changed_at THEN
        PERFORM keyturn.append_history('user_password_changed', NULL, NULL, NEW.id, NULL, '{}', '{}');
      END IF;
      RETURN NULL;
    END $$;
  COMMENT ON FUNCTION keyturn.record_account_change() IS
    'Writes that a user was renamed or got a new password: that it happened, neither the name nor the password.';

  CREATE TRIGGER tr_11_lock BEFORE UPDATE OF username, password_changed_at ON keyturn.users
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_51_record AFTER UPDATE OF username, password_changed_at ON keyturn.users
    FOR EACH ROW EXECUTE FUNCTION keyturn.record_account_change();

  CREATE FUNCTION keyturn.record_ended_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
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
    END $$;
  COMMENT ON FUNCTION keyturn.record_ended_sessions() IS
    'Writes that an administrator, or somebody by hand, ended sessions of a user, and how many. What ends with the person''s own act, '
    'or with another event of history, is not written again.';

  CREATE TRIGGER tr_10_lock BEFORE UPDATE OF ended_at ON keyturn.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.take_change_lock();
  CREATE TRIGGER tr_50_record AFTER UPDATE ON keyturn.sessions
    REFERENCING NEW TABLE AS updated
    FOR EACH STATEMENT EXECUTE FUNCTION keyturn.record_ended_sessions();
`;
