import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The one statement by which a server asks, twice a second, what it must know. */
export class News1795000005000 implements MigrationInterface {
  name = 'News1795000005000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE FUNCTION keyturn.news(
        since_seq bigint, since_hash text, since pg_snapshot,
        OUT clock timestamptz, OUT seen pg_snapshot, OUT key_generation bigint, OUT head_seq bigint, OUT head_hash text,
        OUT changed_users uuid[], OUT ended_sessions uuid[], OUT rewound boolean, OUT missed boolean, OUT restored boolean, OUT incarnation bigint,
          OUT server_started timestamptz
      )
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
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
        $$;
      COMMENT ON FUNCTION keyturn.news(bigint, text, pg_snapshot) IS
        'What has changed since the last answer: the generation of the key set, users changed after its newest event, and sessions ended by '
        'transactions that its snapshot did not see, each told once, whenever they were committed. rewound: that event is not in this '
        'history. missed: this is another cluster, or one that crashed; what was remembered is worth nothing. '
        'restored: these rows come from a dump and were not reconciled. incarnation: its number; when it rises all sessions may be over. '
        'server_started: another one is another server, such as a standby that took over and may use the same transaction numbers again.';
      GRANT EXECUTE ON FUNCTION keyturn.news(bigint, text, pg_snapshot) TO keyturn_app;
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`DROP FUNCTION keyturn.news(bigint, text, pg_snapshot)`);
  }
}
