import { homedir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type pg from 'pg';
import { readerAs, withClient, type Reader } from './client.js';
import { withDatabase } from './context.js';
import { print, printJson } from './output.js';
import { answerText, ask, WHOLE } from './sql-answer.js';
import { SqlShell } from './sql-shell.js';
import { splitSql } from './sql-statements.js';

const HELP = `
Without a statement: a shell, or the statements that are piped in, each ended by a semicolon. \\? in it shows what
it knows. It shows 500 rows of an answer and 60 characters of a cell; a statement on the command line, and --json,
show all. Lines typed at a terminal are kept in ~/.keyturn_sql_history, readable by you alone.

Exit code: 1 when the statement, or one of those piped in, failed; those after it were tried.

Examples:
  keyturn sql
  keyturn sql "select * from audit.key_history"
  keyturn sql --as auditor "select kid, state, active_from, active_to from audit.key_timeline"
  keyturn sql --json < questions.sql`;

interface Options {
  readonly as: 'auditor' | 'app';
  readonly json?: boolean;
}

export const sqlCommand = (): Command =>
  new Command('sql')
    .description('ask the database, with the rights of a role')
    .argument('[statement]', 'SQL; without it: a shell')
    .addOption(new Option('--as <role>', 'whose rights').choices(['auditor', 'app']).default('auditor'))
    .option('--json', 'for scripts')
    .addHelpText('after', HELP)
    .action((statement: string | undefined, { as, json = false }: Options) =>
      withDatabase(async ({ url, auditorUrl }) => {
        const reader = readerAs(as, { url, auditorUrl });
        await withUtcClient(reader, (client) =>
          statement === undefined ? runShell(client, reader, as, json) : runStatements(client, statement, json),
        );
      }),
    );

const withUtcClient = (reader: Reader, work: (client: pg.Client) => Promise<void>): Promise<void> =>
  withClient(reader, 'keyturn sql', async (client) => {
    await client.query(`SET timezone = 'UTC'`);
    await work(client);
  });

/** The first that fails ends it. */
async function runStatements(client: pg.Client, text: string, json: boolean): Promise<void> {
  const { statements, rest } = splitSql(text);
  for (const statement of [...statements, rest].filter((one) => one.trim() !== '')) {
    if (json) printJson((await client.query<Record<string, unknown>>(statement)).rows);
    else print(answerText(await ask(client, statement), WHOLE));
  }
}

async function runShell(client: pg.Client, reader: Reader, role: string, json: boolean): Promise<void> {
  const { stdin: input, stdout: output, stderr: errors } = process;
  const terminal = input.isTTY && output.isTTY;
  const { rows } = await client.query<{ pid: number; version: string; user: string }>(
    `SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version, current_user AS user`,
  );
  const [{ pid, version, user } = { pid: 0, version: '', user: '' }] = rows;
  const cancel = (): Promise<void> =>
    withUtcClient(reader, async (other) => void (await other.query('SELECT pg_cancel_backend($1)', [pid])));
  if (terminal) print(`PostgreSQL ${version} as ${user}. \\d lists what you may read, \\? helps, \\q ends.`);
  const historyFile = join(homedir(), '.keyturn_sql_history');
  const shell = new SqlShell(client, cancel, role, { input, output, errors, terminal, historyFile, json });
  if (!(await shell.run())) process.exitCode = 1;
}
