import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { KeyturnError } from '../common/errors.js';
import type { Config } from '../config/config.js';
import { openEmbeddedPostgres } from './embedded/embedded-postgres.js';
import { migrate, pendingMigrations, type MigrationOutcome } from './migrate.js';
import { isDatabaseUnavailable } from './unavailable.js';

/** Why the database cannot be used, and what to type next. Holds no password. */
export class DatabaseProblem extends Error {
  override readonly name = 'DatabaseProblem';
}

/** A database that is reachable, has its roles, and is migrated. */
export interface OpenDatabase {
  /** Connection string of the role that the process serves as. Holds a password. */
  readonly url: string;
  /** The same for whoever may become keyturn_owner. */
  readonly migrationUrl: string;
  /** The same for keyturn_auditor, where it is known. */
  readonly auditorUrl: string | undefined;
  /** For a person, such as `PostgreSQL 18 embedded on 127.0.0.1:54871`. */
  readonly description: string;
  readonly user: string;
  readonly migrated: MigrationOutcome | undefined;
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

/** The SQL that makes the roles, for a DBA and for messages. */
const ROLES_SQL = fileURLToPath(new URL('./roles.sql', import.meta.url));
const OLDEST_POSTGRES = 14;

/**
 * The database of the configuration, or the embedded one, ready to serve.
 * @throws DatabaseProblem that says what is wrong and what to type next
 */
export async function openDatabase(
  config: Config,
  { runMigrations, log }: { runMigrations: boolean; log: (line: string) => void },
): Promise<OpenDatabase> {
  const { url, migrationUrl } = config.database;
  if (url !== undefined) {
    const migrated = runMigrations
      ? await explained(
          () => migrate(migrationUrl ?? url),
          migrationUrl ?? url,
          migrationUrl === url ? 'DATABASE_URL' : 'MIGRATION_DATABASE_URL',
        )
      : undefined;
    const found = await explained(
      () => inspect(url),
      url,
      'DATABASE_URL',
      `Keyturn's tables are missing, or not for this role. ${MIGRATE}`,
    );
    const description = `PostgreSQL ${found.version} on ${placeOf(url)}`;
    return {
      url,
      migrationUrl: migrationUrl ?? url,
      auditorUrl: config.database.auditorUrl,
      description,
      user: found.user,
      migrated,
      warnings: found.warnings,
      close: async () => undefined,
    };
  }
  const embedded = await openEmbeddedPostgres({ dataDir: config.dataDir, log });
  try {
    const migrated = runMigrations ? await migrate(embedded.urls.migrator) : undefined;
    const found = await inspect(embedded.urls.app);
    return {
      url: embedded.urls.app,
      migrationUrl: embedded.urls.migrator,
      auditorUrl: embedded.urls.auditor,
      description: `PostgreSQL ${embedded.version} embedded on ${embedded.host}:${embedded.port}, data in ${embedded.clusterDir}`,
      user: found.user,
      migrated,
      warnings: found.warnings,
      close: () => embedded.stop(),
    };
  } catch (error) {
    await embedded.stop();
    throw error;
  }
}

/** Looks with the serving role's own eyes: version, rights, and whether the schema is the one that this code expects. */
async function inspect(url: string): Promise<{ version: string; user: string; warnings: string[] }> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'keyturn start',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; number: number; user: string; excessive: boolean }>(
      `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number, current_user AS user,
              (SELECT rolsuper OR rolcreaterole OR pg_has_role(current_user, 'keyturn_owner', 'MEMBER') FROM pg_roles WHERE rolname = current_user) AS excessive`,
    );
    const [row] = rows;
    if (!row) throw new Error('the database says nothing of itself');
    if (row.number < OLDEST_POSTGRES * 10_000)
      throw new DatabaseProblem(`PostgreSQL ${row.version} is too old: Keyturn needs ${OLDEST_POSTGRES} or newer.`);
    const pending = await pendingMigrations(client);
    if (pending.length > 0) {
      throw new DatabaseProblem(
        `The database lacks ${pending.length} migration(s): ${pending.join(', ')}. Type: npm run keyturn -- migrate`,
      );
    }
    const warnings = row.excessive
      ? [
          `serving as ${row.user}, which may do more than keyturn_app. Give DATABASE_URL the role keyturn_app, and MIGRATION_DATABASE_URL keyturn_migrator.`,
        ]
      : [];
    return { version: row.version.split(' ')[0] ?? row.version, user: row.user, warnings };
  } finally {
    await client.end();
  }
}

const MIGRATE = 'Type: npm run keyturn -- migrate';

const placeOf = (url: string): string => {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname || 'localhost'}:${port || '5432'}${pathname}`;
};

/**
 * Does something that needs the database at `url`.
 * @param setting where the connection string comes from
 * @param ungranted what a missing right means at this point
 * @throws DatabaseProblem that says what is wrong and what to type next
 */
export async function explained<T>(
  work: () => Promise<T>,
  url: string,
  setting = 'DATABASE_URL',
  ungranted?: string,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DatabaseProblem) throw error;
    if (ungranted !== undefined && error instanceof pg.DatabaseError && error.code === '42501')
      throw new DatabaseProblem(ungranted, { cause: error });
    throw new DatabaseProblem(explain(error, url, setting), { cause: error });
  }
}

function explain(error: unknown, url: string, setting: string): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const message = first instanceof Error ? first.message : 'unknown error';
  const code = first instanceof Error && 'code' in first ? first.code : undefined;
  const place = placeOf(url);
  const user = new URL(url).username || 'the current user';
  const makeRoles = `Type, as a role that may create roles:  psql -d ${new URL(url).pathname.slice(1) || 'keyturn'} -v ON_ERROR_STOP=1 -f ${ROLES_SQL}`;
  // node-postgres' way to say that there is no password where one is asked for.
  if (/client password must be a string/.test(message))
    return `Postgres on ${place} wants a password of ${user}. Put it into ${setting}: postgres://${user}:<password>@…`;
  if (/unsupported startup parameter/.test(message)) {
    const remedy =
      setting === 'MIGRATION_DATABASE_URL'
        ? 'Let MIGRATION_DATABASE_URL go past it, to Postgres itself.'
        : 'Set DATABASE_POOLER=transaction, and let MIGRATION_DATABASE_URL go past it, to Postgres itself.';
    return `A pooler answers on ${place}, and refuses what is asked of it: ${message}. ${remedy}`;
  }
  switch (code) {
    case 'ECONNREFUSED':
      return `No Postgres answers on ${place}. Start it, or correct ${setting}; without DATABASE_URL an embedded one is used.`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host of ${place} is not known. Correct ${setting}.`;
    case '28P01':
    case '28000':
      return `Postgres on ${place} refuses ${user}: ${message}. Correct the name or the password in ${setting}.`;
    case '3D000':
      return `Postgres on ${place} has no such database. Create it:  createdb ${new URL(url).pathname.slice(1)}`;
    case '22023':
      return `The role keyturn_owner is missing on ${place}. ${makeRoles}`;
    case '42501':
      return `${user} on ${place} lacks a right: ${message}. Migrations need keyturn_migrator (MIGRATION_DATABASE_URL). ${makeRoles}`;
    case '3F000':
      return `The schema keyturn is missing on ${place}. ${makeRoles}`;
    case '42P01':
      return `Keyturn's tables are missing on ${place}. ${MIGRATE}`;
    case '53300':
      return `Postgres on ${place} has no connection to give: ${message}. Raise max_connections or the CONNECTION LIMIT of ${user}, or lower DATABASE_POOL_SIZE of the servers.`;
    case '57014':
    case '55P03':
      return `Postgres on ${place} took longer than DATABASE_TIMEOUT: ${message}. Look what holds it up, or raise the limit.`;
    default:
      return `Postgres on ${place} cannot be used: ${message}`;
  }
}

/** A database that was there a moment ago, and is not while the server starts. @throws DatabaseProblem, or the error as it is */
export function explainLoss(error: unknown, url: string): unknown {
  // What a room below has named already holds what the driver said.
  const said = error instanceof KeyturnError && error.code === 'database_unavailable' ? error.cause : error;
  return isDatabaseUnavailable(said)
    ? new DatabaseProblem(explain(said, url, 'DATABASE_URL'), { cause: error })
    : error;
}
