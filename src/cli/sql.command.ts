import { Command, Option } from 'commander';
import pg from 'pg';
import { CommandError } from './command-error.js';
import { withDatabase } from './context.js';
import { print, printJson } from './output.js';
import { table } from './table.js';

export const sqlCommand = (): Command =>
  new Command('sql')
    .description('ask the database, with the rights of a role')
    .argument('<statement>', 'one SQL statement')
    .addOption(new Option('--as <role>', 'whose rights').choices(['auditor', 'app']).default('auditor'))
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn sql "select * from audit.key_history"\n  keyturn sql --as auditor "select kid, state, active_from, active_to from audit.key_timeline"',
    )
    .action((statement: string, { as, json }: { as: 'auditor' | 'app'; json?: boolean }) =>
      withDatabase(async ({ url, auditorUrl }) => {
        const connectionString = as === 'app' ? url : auditorUrl;
        if (connectionString === undefined)
          throw new CommandError('Set AUDITOR_DATABASE_URL to a connection string of keyturn_auditor.');
        const client = new pg.Client({
          connectionString,
          application_name: 'keyturn sql',
          connectionTimeoutMillis: 5_000,
        });
        client.on('error', () => undefined);
        await client.connect();
        try {
          const { fields, rows, rowCount } = await client.query<Record<string, unknown>>(statement);
          if (json) return printJson(rows);
          if (fields.length === 0) return print(`${rowCount ?? 0} rows`);
          const headings = fields.map((field) => field.name);
          return print(
            `${table(
              headings,
              rows.map((row) => headings.map((heading) => row[heading])),
            )}\n(${rows.length} rows)`,
          );
        } catch (error) {
          if (error instanceof pg.DatabaseError)
            throw new CommandError(`Postgres: ${error.message}${error.hint ? ` (${error.hint})` : ''}`);
          throw error;
        } finally {
          await client.end();
        }
      }),
    );
