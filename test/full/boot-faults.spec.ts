import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { openEmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { allKeys } from '../support/signing-keys.js';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { codeIn, inWords, kidOf, logIn, login, me, ready, refresh, type TokenPair } from './support/client.js';
import {
  endAll,
  freePort,
  newKek,
  processesWith,
  runToEnd,
  settingsFor,
  startKeyturn,
  temporaryFolder,
  type Ended,
  type Settings,
} from './support/keyturn.js';
import { ringFaults, signerAndStandby } from './support/ring-facts.js';
import { eventually } from './support/wait.js';

jest.setTimeout(90_000);

const withPart = (url: string, part: Partial<Pick<URL, 'hostname' | 'port' | 'password' | 'pathname'>>): string =>
  Object.assign(new URL(url), part).href;

const passwordIn = (url: string): string => new URL(url).password;

describe('a start that cannot succeed', () => {
  let database: TestDatabase;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let settings: Settings;
  beforeAll(async () => {
    database = await createTestDatabase();
    folder = await temporaryFolder();
    settings = settingsFor(database, { KEYTURN_DATA_DIR: join(folder.path, 'data') });
  });
  afterEach(async () => await endAll());
  afterAll(async () => {
    await database.drop();
    await folder.remove();
  });

  /** What every failure has in common: it is said, in words, without secrets, and nothing is left. */
  async function fails(given: Settings): Promise<string> {
    const { code, output }: Ended = await runToEnd(given);
    expect(code).toBe(1);
    expect(output).not.toMatch(/^\s+at |"stack":/m);
    expect(output).not.toContain(passwordIn(database.urls.app));
    expect(output).not.toContain(passwordIn(database.urls.migrator));
    expect(await processesWith(folder.path)).toEqual([]);
    const db = await database.connect('superuser');
    await eventually('no connection left', async () => {
      const { rowCount } = await db.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^keyturn (server|start|migrate)'`,
      );
      return rowCount === 0;
    });
    return output;
  }

  it('for a wrong password says who was refused and what to correct', async () => {
    const output = await fails({
      ...settings,
      DATABASE_URL: withPart(database.urls.app, { password: 'not-the-password' }),
      MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { password: 'not-the-password' }),
    });
    expect(output).toMatch(/refuses keyturn_migrator.*\bMIGRATION_DATABASE_URL\b/);
    expect(output).not.toContain('not-the-password');
  });

  it('for a wrong password of the serving role alone names that role', async () => {
    const output = await fails({ ...settings, DATABASE_URL: withPart(database.urls.app, { password: 'not-it' }) });
    expect(output).toMatch(/refuses keyturn_app.*Correct the name or the password in DATABASE_URL/);
  });

  it('for a database that nobody serves says where none answers', async () => {
    const port = String(await freePort());
    const output = await fails({
      ...settings,
      DATABASE_URL: withPart(database.urls.app, { port }),
      MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { port }),
    });
    expect(output).toContain(`No Postgres answers on 127.0.0.1:${port}`);
    expect(output).toMatch(/Start it, or correct MIGRATION_DATABASE_URL/);
  });

  it('for a database that takes the connection and never answers ends within a bounded time', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = String(address !== null && typeof address === 'object' ? address.port : 0);
    const output = await fails({
      ...settings,
      DATABASE_URL: withPart(database.urls.app, { port }),
      MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { port }),
    });
    silent.close();
    expect(output).toContain(`Postgres on 127.0.0.1:${port}`);
  });

  it('for a host that does not exist names the host', async () => {
    const hostname = 'postgres.invalid';
    const output = await fails({
      ...settings,
      DATABASE_URL: withPart(database.urls.app, { hostname }),
      MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { hostname }),
    });
    expect(output).toMatch(/The host of postgres\.invalid\S* is not known\. Correct MIGRATION_DATABASE_URL/);
  });

  it('for a missing database says how to create it', async () => {
    const pathname = '/keyturn_not_there';
    const output = await fails({
      ...settings,
      DATABASE_URL: withPart(database.urls.app, { pathname }),
      MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { pathname }),
    });
    expect(output).toMatch(/has no such database\. Create it: {2}createdb keyturn_not_there/);
  });

  it('for a database where roles.sql was never run says how to run it', async () => {
    const superuser = await database.connect('superuser');
    const name = `${database.name}_bare`;
    await superuser.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    try {
      const output = await fails({
        ...settings,
        DATABASE_URL: withPart(database.urls.app, { pathname: `/${name}` }),
        MIGRATION_DATABASE_URL: withPart(database.urls.migrator, { pathname: `/${name}` }),
      });
      expect(output).toMatch(/psql -d \S+_bare .*-f \S+roles\.sql/);
    } finally {
      await superuser.query(`DROP DATABASE ${name} WITH (FORCE)`);
    }
  });

  it('for a server that lacks the roles says how to make them', async () => {
    const elsewhere = await openEmbeddedPostgres({
      dataDir: join(folder.path, 'other-server'),
      settings: { fsync: 'off' },
    });
    try {
      const url = elsewhere.urls.superuser;
      const superuser = new Client({ connectionString: url });
      await superuser.connect();
      await superuser.query('DROP SCHEMA keyturn; DROP SCHEMA audit');
      for (const role of ['keyturn_owner', 'keyturn_migrator', 'keyturn_app', 'keyturn_auditor']) {
        await superuser.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      }
      await superuser.end();
      const { code, output } = await runToEnd({ ...settings, DATABASE_URL: url, MIGRATION_DATABASE_URL: url });
      expect(code).toBe(1);
      expect(output).toMatch(/The role keyturn_owner is missing .*psql -d keyturn .*-f \S+roles\.sql/);
      expect(output).not.toMatch(/^\s+at |"stack":/m);
      expect(output).not.toContain(passwordIn(url));
    } finally {
      await elsewhere.stop();
    }
  });

  it('for a database that lacks migrations and must not migrate says what to type', async () => {
    const empty = await createEmptyDatabase();
    try {
      const output = await fails({ ...settingsFor(empty), MIGRATE_ON_START: 'false' });
      expect(output).toMatch(/Type: npm run keyturn -- migrate/);
    } finally {
      await empty.drop();
    }
  });

  it('for a serving role that may not migrate says which setting is missing', async () => {
    const empty = await createEmptyDatabase();
    try {
      const output = await fails({ ...settingsFor(empty), MIGRATION_DATABASE_URL: empty.urls.app });
      expect(output).toMatch(/keyturn_migrator \(MIGRATION_DATABASE_URL\)/);
    } finally {
      await empty.drop();
    }
  });

  it('for a port in use says which other to take, and signs off', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const output = await fails({ ...settings, PORT: String(port) });
    other.close();
    expect(output).toContain(
      `PORT ${port} on 127.0.0.1 is in use. Stop what uses it, or type: PORT=${port + 1} npm start`,
    );
    const db = await database.connect('app');
    expect((await db.query('SELECT FROM keyturn.replicas')).rowCount).toBe(0);
    expect(await ringFaults(db)).toEqual([]);
  });

  it('for a KEK_FILE that others may read says how to close it', async () => {
    const { KEK: kek = '', ...rest } = settings;
    const file = join(folder.path, 'open-kek');
    await writeFile(file, `${kek}\n`);
    await chmod(file, 0o644);
    const output = await fails({ ...rest, KEK_FILE: file });
    expect(output).toContain(`KEK_FILE ${file} may be read by others (mode 644). Type: chmod 600 ${file}`);
    expect(output).not.toContain(kek.split(':')[1]);
  });

  it('for a KEK_FILE that is not there names it', async () => {
    const { KEK: _, ...rest } = settings;
    const output = await fails({ ...rest, KEK_FILE: join(folder.path, 'no-kek') });
    expect(output).toContain(`KEK_FILE ${join(folder.path, 'no-kek')} cannot be read`);
  });

  it.each([
    ['no key at all', '# nothing\n', 'it holds no key'],
    ['a line of another form', `${newKek()}\nsecret-material-without-id\n`, 'line 2 is not id:base64 with 32 bytes'],
    ['a key too short', `short:${Buffer.alloc(16, 7).toString('base64')}\n`, 'line 1 is not id:base64 with 32 bytes'],
  ])('for a KEK_FILE with %s says which line', async (_, content, problem) => {
    const { KEK: __, ...rest } = settings;
    const file = join(folder.path, 'malformed-kek');
    await writeFile(file, content, { mode: 0o600 });
    const output = await fails({ ...rest, KEK_FILE: file });
    expect(output).toContain(`KEK_FILE ${file}: ${problem}`);
    expect(output).not.toMatch(/secret-material|BwcHBwcH/);
  });

  it('in production names everything that is missing at once', async () => {
    const output = await fails({ NODE_ENV: 'production', ISSUER: 'http://login.example' });
    expect(output).toMatch(/DATABASE_URL is missing/);
    expect(output).toMatch(/KEK_FILE is missing.*keyturn kek new/);
    expect(output).toMatch(/ISSUER must be the https:\/\/ URL/);
  });

  it('for bad settings names every one at once, and shows no secret value', async () => {
    const output = await fails({
      PORT: '99999',
      LOG_LEVEL: 'loud',
      KEY_ROTATION_INTERVAL: 'a month',
      DATABASE_POOL_SIZE: '0',
      DATABASE_URL: `mysql://keyturn:${passwordIn(database.urls.app)}@127.0.0.1/keyturn`,
    });
    for (const name of ['PORT', 'LOG_LEVEL', 'KEY_ROTATION_INTERVAL', 'DATABASE_POOL_SIZE', 'DATABASE_URL']) {
      expect(output).toMatch(new RegExp(`^ {2}- ${name} `, 'm'));
    }
  });

  it('for settings that contradict each other names every rule at once', async () => {
    const output = await fails({
      ...settings,
      KEY_PUBLISH_LEAD: '1min',
      ACCESS_TOKEN_TTL: '2h',
      CLOCK_SKEW: '2min',
      KEK_FILE: '/dev/null',
    });
    for (const rule of [
      /KEY_PUBLISH_LEAD must be at least/,
      /ACCESS_TOKEN_TTL must be at most/,
      /CLOCK_SKEW/,
      /not both/,
    ]) {
      expect(output).toMatch(rule);
    }
  });
});

describe('private halves that cannot be opened', () => {
  let database: TestDatabase;
  let settings: Settings;
  let token: string;
  let refreshToken: string;
  let pairs: TokenPair[];
  beforeAll(async () => {
    database = await createTestDatabase();
    settings = settingsFor(database);
    const first = await startKeyturn(settings);
    pairs = await Promise.all(Array.from({ length: 10 }, async () => await logIn(first.url)));
    await first.stop('SIGINT');
    const db = await database.connect('superuser');
    await db.query('CREATE TABLE public.whole AS TABLE keyturn.signing_key_secrets');
  });
  beforeEach(() => {
    const pair = pairs.pop();
    if (!pair) throw new Error('more tests than logins');
    ({ access_token: token, refresh_token: refreshToken } = pair);
  });
  afterEach(async () => {
    await endAll();
    const db = await database.connect('superuser');
    await db.query(`
      UPDATE keyturn.signing_key_secrets mine SET sealed = whole.sealed
      FROM public.whole WHERE whole.version = mine.version`);
  });
  afterAll(async () => await database.drop());

  const rightKek = (): string => settings['KEK'] ?? '';

  it.each([
    ['another id', (): string => newKek('another')],
    ['the same id and another key', (): string => newKek('test')],
  ])(
    'under a wrong key-encryption key of %s the server verifies, signs nothing, mints nothing and says so',
    async (_, wrong) => {
      const db = await database.connect('superuser');
      const before = await allKeys(db);
      const sessions = async (): Promise<number | null> => (await db.query('SELECT FROM keyturn.sessions')).rowCount;
      const begun = await sessions();

      const server = await startKeyturn({ ...settings, KEK: wrong() });
      expect((await me(server.url, token)).status).toBe(200);
      const refused = await login(server.url);
      expect([refused.status, codeIn(refused)]).toEqual([503, 'signing_unavailable']);
      expect(refused.headers['retry-after']).toBeDefined();
      expect(await sessions()).toBe(begun);
      const notRefreshed = await refresh(server.url, refreshToken);
      expect([notRefreshed.status, codeIn(notRefreshed)]).toEqual([503, 'signing_unavailable']);
      const { httpStatus, problems } = await ready(server.url);
      expect(httpStatus).toBe(200);
      expect(problems.join(' ')).toMatch(/KEK_FILE/);
      expect(await allKeys(db)).toEqual(before);
      expect((await server.stop()).code).toBe(0);

      const again = await startKeyturn({ ...settings, KEK: rightKek() });
      expect((await ready(again.url)).problems).toEqual([]);
      expect((await me(again.url, token)).status).toBe(200);
      expect((await refresh(again.url, refreshToken)).status).toBe(200);
      expect((await login(again.url)).status).toBe(200);
      expect(await allKeys(db)).toEqual(before);
      expect(await ringFaults(db)).toEqual([]);
    },
  );

  it('go on being opened when the right key-encryption key follows a new one', async () => {
    const server = await startKeyturn({ ...settings, KEK: `${newKek('newer')},${rightKek()}` });
    expect((await ready(server.url)).problems).toEqual([]);
    expect((await login(server.url)).status).toBe(200);
  });

  const damages: readonly (readonly [string, string])[] = [
    ['one bit turned', `sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)`],
    ['cut to twenty bytes', `sealed = substring(sealed FOR 20)`],
    ['cut to one byte', `sealed = '\\x00'`],
    ['emptied', `sealed = ''`],
  ];
  it.each(damages)('of the signer, %s, stop signing and nothing else', async (_, damage) => {
    const db = await database.connect('superuser');
    const { signer } = await signerAndStandby(db);
    await db.query(`UPDATE keyturn.signing_key_secrets SET ${damage} WHERE version = $1`, [signer]);

    const server = await startKeyturn(settings);
    const guarded = await me(server.url, token);
    expect(inWords(guarded)).toMatch(/^200 /);
    expect(codeIn(await login(server.url))).toBe('signing_unavailable');
    const { httpStatus, problems } = await ready(server.url);
    expect(httpStatus).toBe(200);
    expect(problems.join(' ')).toMatch(/private half of version \d cannot be opened/);
    expect(await allKeys(db)).toHaveLength(2);
    expect((await server.stop()).code).toBe(0);
  });

  it('because two rows were swapped, stop signing and nothing else', async () => {
    const db = await database.connect('superuser');
    await db.query(`
      UPDATE keyturn.signing_key_secrets mine SET sealed = other.sealed
      FROM keyturn.signing_key_secrets other WHERE other.version <> mine.version`);

    const server = await startKeyturn(settings);
    expect((await me(server.url, token)).status).toBe(200);
    expect(codeIn(await login(server.url))).toBe('signing_unavailable');
    expect((await ready(server.url)).problems).toEqual([
      expect.stringMatching(/^History is not signed: No token can be signed at the moment: .*[^.]\.$/),
      expect.stringMatching(/^The private half of version 1 cannot be opened: /),
      expect.stringMatching(/^The private half of version 2 cannot be opened: /),
    ]);
    expect(await allKeys(db)).toHaveLength(2);
    expect(server.isRunning()).toBe(true);
  });

  it('of the standby leave the signer signing, and are told before it is due', async () => {
    const db = await database.connect('superuser');
    const { standby } = await signerAndStandby(db);
    await db.query(`UPDATE keyturn.signing_key_secrets SET sealed = '\\x00' WHERE version = $1`, [standby]);

    const server = await startKeyturn(settings);
    const { access_token: fresh } = await logIn(server.url);
    expect(kidOf(fresh)).toBe(kidOf(token));
    expect((await me(server.url, fresh)).status).toBe(200);
    expect((await ready(server.url)).problems).toHaveLength(1);
  });
});
