import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  administrator,
  codeIn,
  inWords,
  kidOf,
  logIn,
  me,
  ready,
  refresh,
  send,
  type TokenPair,
} from './support/client.js';
import {
  endAll,
  newKek,
  runCli,
  startKeyturn,
  temporaryFolder,
  type Ended,
  type Keyturn,
  type Settings,
} from './support/keyturn.js';
import { say } from './support/load.js';
import { installedPostgres, shell, startOwnPostgres, type OwnPostgres } from './support/programs.js';
import { eventually } from './support/wait.js';

jest.setTimeout(240_000);

const root = fileURLToPath(new URL('../../', import.meta.url));
const bin = await installedPostgres();
if (bin === undefined) say('skipped: no PostgreSQL with pg_dump and pg_restore of its own in /usr/lib/postgresql');

/** The commands that docs/dba.md says under this heading. */
async function commandsUnder(heading: string): Promise<string[]> {
  const page = await readFile(join(root, 'docs/dba.md'), 'utf8');
  const [, block] = new RegExp(`^## ${heading}\\n.*?^\`\`\`sh\\n(.*?)^\`\`\``, 'ms').exec(page) ?? [];
  if (block === undefined) throw new Error(`docs/dba.md has no commands under ${heading}`);
  return block.trim().split('\n');
}

(bin === undefined ? describe.skip : describe)('a real dump, restored as docs/dba.md says', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let postgres: OwnPostgres;
  const kek = newKek();
  beforeAll(async () => {
    folder = await temporaryFolder();
    await symlink(join(root, 'src'), join(folder.path, 'src'));
    postgres = await startOwnPostgres(bin ?? '', folder.path);
    const [createdb = '', roles = ''] = await commandsUnder('Install on your own Postgres');
    await type([createdb, roles]);
    const login = ['keyturn_migrator', 'keyturn_app', 'keyturn_auditor'];
    await type(login.map((role) => `psql -d keyturn -c "ALTER ROLE ${role} PASSWORD '$PGPASSWORD'"`));
    expect(await keyturn('keyturn', 'migrate')).toMatchObject({ code: 0 });
  });
  afterEach(async () => await endAll());
  afterAll(async () => {
    await postgres.stop();
    await folder.remove();
  });

  const type = async (commands: readonly string[]): Promise<string> =>
    await shell(commands.join('\n'), folder.path, postgres.environment);

  const settingsOf = (database: string): Settings => ({
    DATABASE_URL: postgres.url('keyturn_app', database),
    MIGRATION_DATABASE_URL: postgres.url('keyturn_migrator', database),
    AUDITOR_DATABASE_URL: postgres.url('keyturn_auditor', database),
    ISSUER: 'https://login.example.com',
    KEK: kek,
    KEY_ALGORITHM: 'ES256',
    KEYTURN_ADMIN_USERNAME: administrator.username,
    KEYTURN_ADMIN_PASSWORD: administrator.password,
  });
  const keyturn = async (database: string, ...args: string[]): Promise<Ended> =>
    await runCli(args, settingsOf(database));
  const start = async (database: string): Promise<Keyturn> =>
    await startKeyturn({ ...settingsOf(database), MIGRATE_ON_START: 'false' });

  /** Keeps what /history/checkpoint serves, once it covers the newest row. @returns the row */
  async function keepCheckpoint({ url }: Keyturn, database: string, file: string): Promise<number> {
    const head = Number(await type([`psql -d ${database} -AtXc 'SELECT max(seq) FROM keyturn.audit_log'`]));
    return await eventually('a checkpoint of the newest row', async () => {
      const { body } = await send(`${url}/history/checkpoint`);
      await writeFile(join(folder.path, file), JSON.stringify(body));
      return JSON.stringify(body).includes(`"seq":${head}`) && head;
    });
  }

  /** What was revoked or ended after the dump; sessions that the dump knows; every key that there was. */
  interface Past {
    readonly ended: TokenPair;
    readonly living: TokenPair;
    readonly kids: readonly string[];
  }

  const kidsIn = async (database: string, where = 'true'): Promise<string[]> =>
    (await type([`psql -d ${database} -AtXc 'SELECT kid FROM keyturn.signing_keys WHERE ${where} ORDER BY version'`]))
      .split('\n')
      .filter(Boolean);

  /** Dumps, and then revokes the signer, ends a session and rotates. */
  async function dumpAndGoOn(server: Keyturn, database: string, dump: string): Promise<Past> {
    const [ended, living] = [await logIn(server.url), await logIn(server.url)];
    await type([dump]);
    const { access_token: token } = ended;
    expect(await send(`${server.url}/auth/logout`, { method: 'POST', token })).toMatchObject({ status: 204 });
    const revoked = await keyturn(database, 'keys', 'revoke', kidOf(token), '--reason', 'leaked', '--yes');
    expect(revoked).toMatchObject({ code: 0 });
    await eventually('a new standby', async () => (await ready(server.url)).standby !== null);
    const rotated = await keyturn(database, 'keys', 'rotate', '--force', '--reason', 'test');
    expect(rotated).toMatchObject({ code: 0 });
    expect(inWords(await me(server.url, token))).toMatch(/^401 /);
    return { ended, living, kids: await kidsIn(database) };
  }

  async function expectNothingRevives(
    { url }: Keyturn,
    database: string,
    { ended, living, kids }: Past,
  ): Promise<void> {
    for (const pair of [ended, living]) {
      expect(await me(url, pair.access_token)).toMatchObject({ status: 401 });
      expect(codeIn(await refresh(url, pair.refresh_token))).toBe('invalid_grant');
    }
    const alive = await kidsIn(database, 'revoked_at IS NULL');
    expect(alive).toHaveLength(2);
    const fresh = await logIn(url);
    expect(alive).toContain(kidOf(fresh.access_token));
    expect(kids).not.toContain(kidOf(fresh.access_token));
    expect(await me(url, fresh.access_token)).toMatchObject({ status: 200 });
    expect(await type([`psql -d ${database} -AtXc 'SELECT ok FROM audit.verify_history()'`])).toBe('t\n');
    expect(await type([count(database, `keyturn.audit_log WHERE event = 'reconciled'`)])).toBe('1\n');
  }
  /** @returns what does not hold, in the words of `keyturn audit verify` */
  async function verifyWith(file: string, database: string): Promise<string> {
    const { code, output } = await keyturn(database, 'audit', 'verify', '--checkpoint', join(folder.path, file));
    return code === 0 ? '' : output;
  }
  const count = (database: string, from: string): string => `psql -d ${database} -AtXc "SELECT count(*) FROM ${from}"`;

  it('with every server stopped: nothing revives, the next one signs with a new key, and a kept checkpoint shows the lost end', async () => {
    const [dump = '', ...restore] = await commandsUnder('Backup and restore');
    const server = await start('keyturn');
    const past = await dumpAndGoOn(server, 'keyturn', dump);
    const lost = await keepCheckpoint(server, 'keyturn', 'kept.json');
    await server.stop();

    expect(await type(restore)).toMatch(/^ t +\|/m);
    expect(await verifyWith('kept.json', 'keyturn_restored')).toMatch(
      `row ${lost} is missing, but the kept checkpoint`,
    );
    const again = await start('keyturn_restored');

    await expectNothingRevives(again, 'keyturn_restored', past);
    await keepCheckpoint(again, 'keyturn_restored', 'new.json');
    const whole = await keyturn('keyturn_restored', 'audit', 'verify');
    expect({ whole: whole.output, code: whole.code }).toMatchObject({ code: 0 });
    // The copy knows the stopped server too, which counts as running for 15 s after it was heard of last.
    let said = '';
    await eventually(
      'a doctor that finds nothing wrong',
      async () => {
        const { code, output } = await keyturn('keyturn_restored', 'doctor');
        said = output;
        return code === 0;
      },
      { withinMs: 40_000 },
    ).catch((error: unknown) => {
      throw new Error(said, { cause: error });
    });
    expect(await verifyWith('new.json', 'keyturn_restored')).toBe('');
    // By whether the new history has grown past that row already.
    expect(await verifyWith('kept.json', 'keyturn_restored')).toMatch(
      new RegExp(`row ${lost} is (not what the kept checkpoint|missing, but the kept checkpoint)`),
    );
  });

  it('under running servers, in the place of the database that they serve: they reconcile it, once, and go on', async () => {
    const servers = await Promise.all([start('keyturn'), start('keyturn')]);
    const [server] = servers;
    const dump = 'pg_dump -Fc -U keyturn_migrator --role=keyturn_owner keyturn > owners.dump';
    const past = await dumpAndGoOn(server, 'keyturn', dump);
    const [, ...restore] = await commandsUnder('Backup and restore');

    await type([
      'dropdb --force keyturn',
      ...restore.map((command) =>
        command.replace('keyturn_restored', 'keyturn').replace('keyturn.dump', 'owners.dump'),
      ),
    ]);

    for (const { url } of servers) {
      await eventually('a new signer', async () => {
        const { signer, standby, httpStatus } = await ready(url);
        return httpStatus === 200 && standby !== null && signer !== null && !past.kids.includes(signer);
      });
      await expectNothingRevives(server, 'keyturn', past);
    }
  });
});
