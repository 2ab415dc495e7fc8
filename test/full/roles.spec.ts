import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { migrate } from '../../src/database/migrate.js';
import { openEmbeddedPostgres, type EmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { sqlFinding } from '../audit/story.js';
import { addUser } from '../support/users.js';

jest.setTimeout(120_000);

const rolesSql = await readFile(new URL('../../src/database/roles.sql', import.meta.url), 'utf8');

/** A cluster of its own: roles belong to the whole of it. */
let world: string;
let postgres: EmbeddedPostgres;
beforeAll(async () => {
  world = await mkdtemp(join(await realpath(tmpdir()), 'keyturn-roles-'));
  await chmod(world, 0o755);
  postgres = await openEmbeddedPostgres({ dataDir: join(world, 'data'), settings: { fsync: 'off' } });
  // As a cluster that never heard of Keyturn.
  await as('postgres', postgres.urls.superuser, async (superuser) => {
    await superuser.query(`DROP DATABASE ${new URL(postgres.urls.superuser).pathname.slice(1)} WITH (FORCE)`);
    await superuser.query('DROP ROLE keyturn_owner, keyturn_migrator, keyturn_app, keyturn_auditor');
    await superuser.query(`CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD 'of the test'`);
    await superuser.query(`CREATE ROLE reader LOGIN PASSWORD 'of the test'`);
  });
  await as('postgres', urlOf('dba'), async (dba) => await dba.query('CREATE DATABASE keyturn'));
});
afterAll(async () => {
  await postgres?.stop();
  await rm(world, { recursive: true, force: true });
});

function urlOf(user: string): string {
  const url = new URL(postgres.urls.superuser);
  url.username = user;
  url.password = 'of the test';
  url.pathname = '/keyturn';
  return url.href;
}

async function as<T>(database: string, url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const place = new URL(url);
  place.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: place.href });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const members = async (): Promise<unknown> =>
  await as('keyturn', postgres.urls.superuser, async (superuser) => {
    const { rows } = await superuser.query<{ member: string }>(
      `SELECT rolname AS member FROM pg_roles
       WHERE NOT rolsuper AND pg_has_role(rolname, 'keyturn_owner', 'SET') AND rolname <> 'keyturn_owner' ORDER BY 1`,
    );
    return rows.map((row) => row.member);
  });

describe('roles.sql', () => {
  it('is refused in words to whoever does not own the database', async () => {
    await expect(as('postgres', urlOf('reader'), async (reader) => await reader.query(rolesSql))).rejects.toThrow(
      'reader does not own the database postgres',
    );
  });

  it.each(['for the first time', 'once more'])(
    'is run %s by a DBA who may create roles and owns the database, but is no superuser, and who cannot become the owner afterwards',
    async () => {
      await as('keyturn', urlOf('dba'), async (dba) => await dba.query(rolesSql));
      expect(await members()).toEqual(['keyturn_migrator']);
    },
  );

  it('is all that a migration and a history need', async () => {
    await as('keyturn', urlOf('dba'), async (dba) => {
      for (const role of ['migrator', 'app', 'auditor'])
        await dba.query(`ALTER ROLE keyturn_${role} PASSWORD 'of the test'`);
    });
    await migrate(urlOf('keyturn_migrator'));
    await as('keyturn', urlOf('keyturn_app'), async (app) => await addUser(app));
    expect(await as('keyturn', urlOf('keyturn_auditor'), sqlFinding)).toBeUndefined();
  });
});
