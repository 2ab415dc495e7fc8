import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How often a password or a code was guessed at lately: one row a bucket, shared by every server. */
export class Throttling1795000010000 implements MigrationInterface {
  name = 'Throttling1795000010000';

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE keyturn.attempt_buckets (
        bucket_hash bytea NOT NULL,
        empty_at timestamptz NOT NULL,
        CONSTRAINT pk_attempt_buckets PRIMARY KEY (bucket_hash),
        CONSTRAINT ck_attempt_buckets_hash CHECK (octet_length(bucket_hash) = 32)
      );
      CREATE INDEX ix_attempt_buckets_empty_at ON keyturn.attempt_buckets (empty_at);
      COMMENT ON TABLE keyturn.attempt_buckets IS
        'Leaky buckets: each attempt at a password or a code pours one measure in, and one runs out every LOGIN_ATTEMPT_INTERVAL. An empty '
        'bucket is as good as none: its row is deleted.';
      COMMENT ON COLUMN keyturn.attempt_buckets.bucket_hash IS
        'Whose attempts: HMAC-SHA-256 of a name and an address, a known device, a session, …, under a secret that the servers share. Nobody''s '
        'name or address can be read from it.';
      COMMENT ON COLUMN keyturn.attempt_buckets.empty_at IS
        'When all will have run out; how full the bucket is, is how far that lies ahead.';
      COMMENT ON INDEX keyturn.ix_attempt_buckets_empty_at IS 'Finds the empty ones.';
      GRANT SELECT, INSERT, UPDATE (empty_at), DELETE ON keyturn.attempt_buckets TO keyturn_app;

      CREATE FUNCTION keyturn.take_attempt(bucket bytea, most integer, one_in keyturn.duration) RETURNS integer
        LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
        AS $$
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
        END $$;
      COMMENT ON FUNCTION keyturn.take_attempt(bytea, integer, keyturn.duration) IS
        'One attempt more, of at most so many at once and one more every one_in: 0 when it is allowed, and counted; otherwise in how many seconds '
        'the next one will be, and nothing is counted.';
      GRANT EXECUTE ON FUNCTION keyturn.take_attempt(bytea, integer, keyturn.duration) TO keyturn_app;
    `);
  }

  async down(db: QueryRunner): Promise<void> {
    await db.query(`
      DROP FUNCTION keyturn.take_attempt(bytea, integer, keyturn.duration);
      DROP TABLE keyturn.attempt_buckets;
    `);
  }
}
