import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ClientBase } from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { inWords, kidOf, login, logIn, me, pairIn, ready, refresh, send } from './support/client.js';
import {
  endAll,
  runCli,
  runToEnd,
  settingsFor,
  startKeyturn,
  temporaryFolder,
  type Settings,
} from './support/keyturn.js';
import { say } from './support/load.js';
import { installed, startPgbouncer, type Pooler } from './support/programs.js';
import { ringFaults } from './support/ring-facts.js';
import { eventually } from './support/wait.js';

jest.setTimeout(180_000);

const program = await installed('pgbouncer');
if (program === undefined) say('skipped: no pgbouncer. On Debian: apt-get install pgbouncer');

(program === undefined ? describe.skip : describe)('behind PgBouncer, set as docs/operations.md says', () => {
  let database: TestDatabase;
  let db: ClientBase;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let pooler: Pooler;
  let settings: Settings;
  beforeAll(async () => {
    database = await createTestDatabase();
    db = await database.connect('superuser');
    folder = await temporaryFolder();
    const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const [, lines] = /```ini\n(.*?)```/s.exec(page) ?? [];
    if (lines === undefined) throw new Error('docs/operations.md does not say how to set PgBouncer');
    const { app, auditor, migrator } = database.urls;
    pooler = await startPgbouncer(program ?? '', [app, auditor, migrator], lines, folder.path);
    settings = settingsFor(database, {
      DATABASE_URL: pooler.through(app),
      AUDITOR_DATABASE_URL: pooler.through(auditor),
      DATABASE_POOLER: 'transaction',
    });
  });
  afterEach(async () => await endAll());
  afterAll(async () => {
    await pooler.stop();
    await database.drop();
    await folder.remove();
  });

  it('two servers and the commands do what they do without it', async () => {
    const [first, second] = [await startKeyturn(settings), await startKeyturn(settings)];
    const pair = await logIn(first.url);
    expect(inWords(await me(second.url, pair.access_token))).toMatch(/^200 /);
    expect((await ready(first.url)).problems).toEqual([]);

    const keyturn = async (...args: string[]): Promise<string> => {
      const { code, output } = await runCli(args, settings);
      expect({ args, code, output }).toMatchObject({ code: 0 });
      return output;
    };
    await keyturn('keys', 'rotate', '--force', '--reason', 'test');
    await eventually('a new standby', async () => (await ready(second.url)).standby !== null);
    const next = pairIn(await refresh(second.url, pair.refresh_token));
    expect(kidOf(next.access_token)).not.toBe(kidOf(pair.access_token));
    expect(await keyturn('keys', 'revoke', kidOf(pair.access_token), '--reason', 'leaked', '--yes')).toMatch(
      'Effective on 2 of 2 running servers',
    );
    for (const { url } of [first, second]) {
      expect(inWords(await me(url, pair.access_token))).toMatch(/^401 /);
      expect(inWords(await me(url, next.access_token))).toMatch(/^200 /);
    }
    const { access_token: token } = next;
    expect(await send(`${first.url}/auth/logout`, { method: 'POST', token })).toMatchObject({ status: 204 });
    await eventually('the session ended everywhere', async () => (await me(second.url, token)).status === 401);

    const logins = Array.from({ length: 30 }, async (_, at) => await login((at % 2 ? first : second).url));
    expect(new Set((await Promise.all(logins)).map(({ status }) => status))).toEqual(new Set([200]));
    await eventually('the newest event signed', async () => (await runCli(['doctor'], settings)).code === 0);
    await keyturn('audit', 'verify');
    await keyturn('sql', '--as', 'auditor', 'SELECT count(*) FROM audit.chain');
    expect(await ringFaults(db)).toEqual([]);
    // What a change says of itself is its transaction's: no other client of the same connection says it again.
    const said = await db.query(
      `SELECT DISTINCT reason, entry::jsonb ->> 'application_name' AS client FROM audit.key_history h JOIN audit.chain USING (seq)
       WHERE reason IN ('test', 'leaked') ORDER BY reason`,
    );
    expect(said.rows).toEqual([
      { reason: 'leaked', client: 'keyturn cli' },
      { reason: 'test', client: 'keyturn cli' },
    ]);
    await first.stop();
    await second.stop();
  });

  it('the timeouts of the role hold', async () => {
    const { code, output } = await runCli(['sql', '--as', 'app', 'SELECT pg_sleep(20)'], settings);
    expect([code, output]).toEqual([1, expect.stringMatching(/statement timeout/)]);
  });

  it('without DATABASE_POOLER the server refuses to start, and says what to set', async () => {
    const { code, output } = await runToEnd({ ...settings, DATABASE_POOLER: 'none' });
    expect([code, output]).toEqual([1, expect.stringMatching(/A pooler answers on .*Set DATABASE_POOLER=transaction/)]);
  });

  it('migrations are refused, and leave no lock behind with the pooler', async () => {
    const migration = { MIGRATION_DATABASE_URL: pooler.through(database.urls.migrator) };
    const { code, output } = await runCli(['migrate'], { ...settings, ...migration });
    expect([code, output]).toEqual([75, expect.stringMatching(/Let MIGRATION_DATABASE_URL go past it/)]);
    const { rows } = await db.query(
      `SELECT objid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database()`,
    );
    expect(rows).toEqual([]);
  });
});
