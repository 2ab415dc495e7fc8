import { readFile } from 'node:fs/promises';
import { asSuperuser } from './connection.js';
import { loginRoles, scramVerifier, type Passwords } from './credentials.js';

export const databaseName = 'keyturn';

/** Database and roles as they should be. Run at every start: it finishes what a crash cut short and mends drift. */
export async function prepareDatabase(port: number, passwords: Passwords): Promise<void> {
  const password = passwords.superuser;
  await asSuperuser({ port, password, database: 'postgres' }, async (client) => {
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [databaseName]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(databaseName)}`);
  });

  const rolesSql = await readFile(new URL('../roles.sql', import.meta.url), 'utf8');
  await asSuperuser({ port, password, database: databaseName }, async (client) => {
    // Should a statement fail, its text stays out of the server's log: it may hold a verifier.
    await client.query('SET log_min_error_statement = panic');
    await client.query('BEGIN');
    await client.query(rolesSql);
    for (const role of ['migrator', 'app', 'auditor'] as const) {
      const verifier = client.escapeLiteral(scramVerifier(passwords[role]));
      await client.query(`ALTER ROLE ${client.escapeIdentifier(loginRoles[role])} PASSWORD ${verifier}`);
    }
    await client.query('COMMIT');
  });
}
