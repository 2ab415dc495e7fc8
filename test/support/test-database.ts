import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Client } from 'pg';
import { z } from 'zod';

/** `owner` is the migrator having become keyturn_owner, as migrations run. */
export type TestRole = 'superuser' | 'migrator' | 'owner' | 'app' | 'auditor';

/** A database of its own on the run's one server. Make it in `beforeAll`, drop it in `afterAll`. */
export interface TestDatabase {
  readonly name: string;
  /** Connection strings, one a role. */
  readonly urls: Readonly<Record<TestRole, string>>;
  /** A connection that `drop()` closes. */
  connect(role: TestRole): Promise<Client>;
  /** Moves `keyturn.clock()` on, or back, from where it is. Not in an empty database: that has no clock yet. */
  moveClock(byMilliseconds: number): Promise<void>;
  /** Sets how far `keyturn.clock()` is ahead of the true time. */
  setClockOffset(milliseconds: number): Promise<void>;
  /** Empties every table, past all the triggers that forbid it, and sets the clock right: as it was after the migrations. */
  reset(): Promise<void>;
  /** Closes what `connect` opened, ends what others left open, and removes the database. */
  drop(): Promise<void>;
}

/** A migrated database whose clock can be moved. */
export const createTestDatabase = async (): Promise<TestDatabase> => await create('migrated');

/** A database with Keyturn's roles and its two schemas, before any migration. */
export const createEmptyDatabase = async (): Promise<TestDatabase> => await create('empty');

async function create(kind: 'migrated' | 'empty'): Promise<TestDatabase> {
  const { template, urls: templateUrls } = theServer();
  const name = `keyturn_test_${randomBytes(6).toString('hex')}`;
  const serverUrl = inDatabase(templateUrls.superuser, 'postgres');
  const migrator = inDatabase(templateUrls.migrator, name);
  const urls = {
    superuser: inDatabase(templateUrls.superuser, name),
    migrator,
    owner: `${migrator}?options=${encodeURIComponent('-c role=keyturn_owner')}`,
    app: inDatabase(templateUrls.app, name),
    auditor: inDatabase(templateUrls.auditor, name),
  };

  await talk(serverUrl, async (server) => {
    if (kind === 'empty') {
      await server.query(`CREATE DATABASE ${name} TEMPLATE template1`);
      // Roles belong to the whole server: one file at a time.
      await server.query('SELECT pg_advisory_lock(1)');
      await talk(urls.superuser, async (client) => await client.query(await rolesSql()));
      return;
    }
    await server.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
    // A copy has all but the grants on the database itself: those of roles.sql.
    await server.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`);
    await server.query(`GRANT CONNECT ON DATABASE ${name} TO keyturn_migrator, keyturn_app, keyturn_auditor`);
  });

  const clients: Client[] = [];
  const connect = async (role: TestRole): Promise<Client> => {
    const client = newClient(urls[role]);
    await client.connect();
    clients.push(client);
    return client;
  };
  let opened: Promise<Client> | undefined;
  /** Past every rule, on one connection. */
  const asSuperuser = async (sql: string, values?: readonly unknown[]): Promise<void> => {
    const client = await (opened ??= connect('superuser'));
    await client.query(sql, values && [...values]);
  };
  return {
    name,
    urls,
    connect,
    moveClock: async (byMilliseconds) =>
      await asSuperuser('UPDATE test_clock.shift SET milliseconds = milliseconds + $1', [byMilliseconds]),
    setClockOffset: async (milliseconds) =>
      await asSuperuser('UPDATE test_clock.shift SET milliseconds = $1', [milliseconds]),
    reset: async () => await asSuperuser(emptied),
    drop: async () => {
      await Promise.all(clients.map(async (client) => await client.end()));
      await talk(serverUrl, async (server) => await server.query(`DROP DATABASE ${name} WITH (FORCE)`));
    },
  };
}

// DELETE, because TRUNCATE of so many tables takes twenty times as long.
const emptied = `
  SET session_replication_role = replica;
  DO $$
  DECLARE
    emptied text;
  BEGIN
    FOR emptied IN
      SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
      WHERE schemaname = 'keyturn' AND tablename NOT IN ('migrations', 'current_change', 'incarnation')
    LOOP
      EXECUTE 'DELETE FROM ' || emptied;
    END LOOP;
  END $$;
  UPDATE keyturn.current_change SET transaction_id = '0', instant = 'epoch';
  UPDATE test_clock.shift SET milliseconds = 0;
  RESET session_replication_role;
`;

const serverSchema = z.object({
  template: z.string(),
  urls: z.object({ superuser: z.string(), migrator: z.string(), app: z.string(), auditor: z.string() }),
});

function theServer(): z.infer<typeof serverSchema> {
  const given = process.env['KEYTURN_TEST_TEMPLATE'];
  if (given === undefined) throw new Error('No test server: globalSetup did not run');
  return serverSchema.parse(JSON.parse(given));
}

function inDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

const rolesSql = async (): Promise<string> =>
  await readFile(new URL('../../src/database/roles.sql', import.meta.url), 'utf8');

function newClient(url: string): Client {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'keyturn test',
  });
  // A connection that is ended from the other side rejects the query in hand; the event must not end the process.
  client.on('error', () => {});
  return client;
}

async function talk(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = newClient(url);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
