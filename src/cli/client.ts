import pg from 'pg';
import { explained } from '../database/open-database.js';
import { CommandError } from './command-error.js';
import { complaintText } from './sql-answer.js';

/** Whose rights a command reads with, where it may choose. */
export interface Reader {
  readonly connectionString: string;
  /** The setting that the connection string comes from, for whoever must correct it. */
  readonly setting: 'DATABASE_URL' | 'AUDITOR_DATABASE_URL';
}

/** @throws CommandError where the configuration has no connection string of the role */
export function readerAs(
  role: 'auditor' | 'app',
  { url, auditorUrl }: { readonly url: string; readonly auditorUrl: string | undefined },
): Reader {
  if (role === 'app') return { connectionString: url, setting: 'DATABASE_URL' };
  if (auditorUrl !== undefined) return { connectionString: auditorUrl, setting: 'AUDITOR_DATABASE_URL' };
  throw new CommandError('setting_missing', 'Set AUDITOR_DATABASE_URL to a connection string of keyturn_auditor.');
}

/**
 * A connection for the length of `work`.
 * @throws DatabaseProblem when it cannot be had; CommandError, in Postgres' words, when a statement is refused
 */
export async function withClient<T>(
  { connectionString, setting }: Reader,
  applicationName: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString,
    application_name: applicationName,
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined);
  try {
    await explained(() => client.connect(), connectionString, setting);
    return await work(client);
  } catch (error) {
    if (error instanceof pg.DatabaseError)
      throw new CommandError('statement_refused', complaintText(error), { cause: error });
    throw error;
  } finally {
    await client.end();
  }
}
