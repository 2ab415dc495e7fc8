import { migrate } from '../../dist/src/database/migrate.js';
import { onServer, startTestServer } from './test-server.mjs';

/** In place of the clock of production, one that a test can move. Only the superuser may. */
const movableClock = `
  CREATE SCHEMA test_clock;
  CREATE TABLE test_clock.shift (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), milliseconds bigint NOT NULL);
  INSERT INTO test_clock.shift (milliseconds) VALUES (0);
  GRANT USAGE ON SCHEMA test_clock TO PUBLIC;
  GRANT SELECT ON test_clock.shift TO PUBLIC;
  CREATE OR REPLACE FUNCTION keyturn.clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$
      SELECT pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp())
        + milliseconds * interval '1 millisecond' FROM test_clock.shift
    $$;
`;

/** One server a run; one template, migrated once as the product migrates, that every test database is copied from. */
export default async function globalSetup() {
  const server = await startTestServer();
  globalThis.keyturnTestServer = server;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => void server.stop().finally(() => process.exit(1)));
  }
  try {
    await migrate(server.urls.migrator);
    await onServer(server.urls.superuser, [movableClock]);
    const template = new URL(server.urls.superuser).pathname.slice(1);
    process.env['KEYTURN_TEST_TEMPLATE'] = JSON.stringify({ template, urls: server.urls });
  } catch (error) {
    await server.stop();
    throw error;
  }
}
