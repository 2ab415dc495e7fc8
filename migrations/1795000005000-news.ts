import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The one statement by which a server asks, twice a second, what it must know. */
export class News1795000005000 implements MigrationInterface {
  name = 'News1795000005000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE FUNCTION keyturn.news(
        since_seq bigint,
        OUT clock timestamptz, OUT key_generation bigint, OUT head_seq bigint, OUT changed_users uuid[], OUT ended_sessions uuid[]
      )
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT
            keyturn.clock(),
            keyturn.key_generation(),
            coalesce((SELECT max(seq) FROM keyturn.audit_log), 0),
            ARRAY(SELECT DISTINCT subject FROM keyturn.audit_log WHERE seq > since_seq AND subject IS NOT NULL),
            ARRAY(SELECT id FROM keyturn.sessions WHERE ended_at > (SELECT keyturn.clock()) - interval '30 seconds')
        $$;
      COMMENT ON FUNCTION keyturn.news(bigint) IS
        'What has changed: the generation of the key set, users changed since an event, and sessions ended in the last 30 seconds '
        '(longer than any transaction of the server, since an end is stamped before it is committed).';
      GRANT EXECUTE ON FUNCTION keyturn.news(bigint) TO keyturn_app;
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`DROP FUNCTION keyturn.news(bigint)`);
  }
}
