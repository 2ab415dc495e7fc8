import { readFile } from 'node:fs/promises';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';

/** The account that Postgres runs under when we are root, which it refuses to run as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** `postgres` where the machine has one, else `nobody`. An account is never created. */
export async function unprivilegedAccount(passwd = '/etc/passwd'): Promise<Account> {
  const lines = (await readFile(passwd, 'utf8')).split('\n');
  for (const wanted of ['postgres', 'nobody']) {
    const [name, , uid, gid] = lines.find((line) => line.startsWith(`${wanted}:`))?.split(':') ?? [];
    // macOS writes nobody's ids as -2.
    const account = { name: name ?? '', uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
    if (name !== undefined && account.uid !== 0) return account;
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL refuses to run as root, and this machine has neither an account postgres nor an account nobody. ' +
      'Start as an ordinary user, or set DATABASE_URL to a PostgreSQL server of your own.',
  );
}
