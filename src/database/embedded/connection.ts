import { Client } from 'pg';
import { loginRoles } from './credentials.js';

export const host = '127.0.0.1';

/** One short conversation as superuser, bounded in time and always ended. */
export async function asSuperuser<T>(
  { port, password, database }: { port: number; password: string; database: string },
  talk: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({
    host,
    port,
    user: loginRoles.superuser,
    password,
    database,
    ssl: false,
    connectionTimeoutMillis: 5_000,
    query_timeout: 30_000,
    application_name: 'keyturn embedded',
  });
  // A server that ends under us also rejects the query in hand; without a handler the event would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return await talk(client);
  } finally {
    await client.end().catch(() => {});
  }
}
