import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { openEmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { ready, send } from './support/client.js';
import { processesWith, temporaryFolder } from './support/keyturn.js';
import { say } from './support/load.js';
import { beginShell, installed, installedPostgres, shell, startOwnPostgres } from './support/programs.js';
import { eventually } from './support/wait.js';

jest.setTimeout(120_000);

const root = fileURLToPath(new URL('../../', import.meta.url));
const bin = await installedPostgres();
const missing: string[] = [];
for (const program of ['psql', 'createdb', 'curl']) {
  const packaged = bin !== undefined && program !== 'curl';
  if (!packaged && (await installed(program)) === undefined) missing.push(program);
}
if (missing.length > 0)
  say(`skipped: no ${missing.join(', ')} (Debian: apt-get install postgresql postgresql-client curl)`);

/** The block of a page that begins so. */
async function block(page: string, beginning: string): Promise<string> {
  const text = await readFile(join(root, page), 'utf8');
  const blocks = [...text.matchAll(/^```[^\n]*\n(.*?)^```$/gms)];
  const found = blocks.find(([, script]) => script?.startsWith(beginning));
  if (found?.[1] === undefined) throw new Error(`${page} has no block that begins with ${beginning}`);
  return found[1];
}

/** A server that never heard of Keyturn: that of this machine, or the embedded one. @returns its superuser's connection string */
async function startPostgres(folder: string): Promise<{ superuser: string; stop: () => Promise<void> }> {
  if (bin !== undefined) {
    const own = await startOwnPostgres(bin, folder);
    return { superuser: own.url('postgres', 'postgres'), stop: async () => await own.stop() };
  }
  const embedded = await openEmbeddedPostgres({ dataDir: join(folder, 'data'), settings: { fsync: 'off' } });
  return { superuser: embedded.urls.superuser, stop: async () => await embedded.stop() };
}

// It types what pages say to type, so it wants those programs; where they are missing, the line above says which and how to get them.
(missing.length > 0 ? describe.skip : describe)('on a Postgres of your own, as a DBA who is no superuser', () => {
  const word = (): string => randomBytes(12).toString('hex');
  const dba = word();
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let postgres: Awaited<ReturnType<typeof startPostgres>>;
  let environment: Readonly<Record<string, string>>;
  beforeAll(async () => {
    folder = await temporaryFolder();
    postgres = await startPostgres(folder.path);
    const { hostname, port, username, password } = new URL(postgres.superuser);
    const path = [...(bin === undefined ? [] : [bin]), dirname(process.execPath), process.env['PATH']].join(':');
    environment = {
      PATH: path,
      HOME: folder.path,
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: 'dba',
      PGPASSWORD: dba,
      npm_config_update_notifier: 'false',
    };
    await shell(
      `psql -Xq -v ON_ERROR_STOP=1 -d postgres -c "DROP DATABASE IF EXISTS keyturn WITH (FORCE)" \\
         -c "DROP ROLE IF EXISTS keyturn_owner, keyturn_migrator, keyturn_app, keyturn_auditor" \\
         -c "CREATE ROLE dba LOGIN CREATEDB CREATEROLE PASSWORD '$DBA'"`,
      root,
      { ...environment, DBA: dba, PGUSER: username, PGPASSWORD: decodeURIComponent(password) },
    );
  });
  afterAll(async () => {
    await postgres.stop();
    await folder.remove();
  });

  const place = (): string => `${environment['PGHOST']}:${environment['PGPORT']}`;
  /** Each role's connection string in place of what a page leaves open. */
  const filledIn = (script: string, passwords: Readonly<Record<string, string>>): string =>
    script.replaceAll(/(keyturn_\w+):<password>@<host>/g, (_, role: string) => `${role}:${passwords[role]}@${place()}`);
  /** Which passwords a page has a person set, in its order. */
  const rolesOf = (script: string): string[] => [...script.matchAll(/\\password (\w+)/g)].map(([, role]) => role ?? '');
  it('docs/dba.md installs roles, with passwords that psql asks for, and the schema', async () => {
    const install = await block('docs/dba.md', 'createdb keyturn\n');
    const passwords = Object.fromEntries(rolesOf(install).map((role) => [role, word()]));
    const typed = Object.values(passwords).map((password) => `${password}\n${password}\n`);
    const said = await shell(filledIn(install, passwords), root, environment, typed.join(''));
    expect(said).toMatch(/(\d+) migrations, \1 applied now/);
    const auditor = { ...environment, PGUSER: 'keyturn_auditor', PGPASSWORD: passwords['keyturn_auditor'] ?? '' };
    expect(await shell(`psql -XAt -d keyturn -c 'SELECT ok FROM audit.verify_history()'`, root, auditor)).toBe('t\n');
  });

  it('README.md installs them where they are already, starts a server, and docs/dba.md keeps its checkpoint and verifies with it', async () => {
    await shell('dropdb --force keyturn', root, environment);
    const install = await block('README.md', 'createdb keyturn\n');
    const passwords = Object.fromEntries(rolesOf(install).map((role) => [role, word()]));
    // What the comment says to type, and what psql then asks for.
    const typed = Object.entries(passwords).map(([role, password]) => `\\password ${role}\n${password}\n${password}\n`);
    const server = beginShell(
      filledIn(install, passwords),
      root,
      { ...environment, PORT: '0', KEY_ALGORITHM: 'ES256' },
      typed.join(''),
    );
    let said = '';
    for (const channel of [server.stdout, server.stderr])
      channel.setEncoding('utf8').on('data', (text) => (said += text));
    const ended = once(server, 'close');
    try {
      const url = await eventually(
        'a server that listens',
        () => {
          if (server.exitCode !== null) throw new Error(said);
          return /^ {2}app (http:\S+)/m.exec(said)?.[1];
        },
        { withinMs: 60_000 },
      );
      await eventually('a signer and a standby', async () => (await ready(url)).standby !== null);
      expect((await stat(join(folder.path, 'keyturn.kek'))).mode & 0o777).toBe(0o600);
      await eventually('a checkpoint', async () => (await send(`${url}/history/checkpoint`)).status === 200);
      const keep = (await block('docs/dba.md', 'curl '))
        .replaceAll('https://login.example.com', url)
        .replaceAll('/safe/', `${folder.path}/`);
      const verified = await shell(keep, root, {
        ...environment,
        DATABASE_URL: `postgres://keyturn_app:${passwords['keyturn_app']}@${place()}/keyturn`,
        AUDITOR_DATABASE_URL: `postgres://keyturn_auditor:${passwords['keyturn_auditor']}@${place()}/keyturn`,
      });
      expect(verified).toMatch(/The history is whole: .*\n.*\nIt holds what 1 kept checkpoint was signed over\./);
    } finally {
      // As Ctrl-C does: to all that run in the foreground.
      if (server.pid !== undefined) process.kill(-server.pid, 'SIGINT');
      await ended;
    }
    expect(await processesWith(place())).toEqual([]);
  });
});
