import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url));

let database: TestDatabase;
let home: string;
beforeAll(async () => {
  database = await createTestDatabase();
  home = await mkdtemp(join(tmpdir(), 'keyturn-sql-'));
});
afterAll(async () => {
  await rm(home, { recursive: true });
  await database.drop();
});

/** What `keyturn sql …` printed that was fed `input`, and how it ended. */
function sql(words: readonly string[], input = '', auditorUrl = database.urls.auditor) {
  const environment = {
    PATH: process.env['PATH'],
    HOME: home,
    NODE_ENV: 'test',
    DATABASE_URL: database.urls.app,
    AUDITOR_DATABASE_URL: auditorUrl,
  };
  return new Promise<{ code: number | null; out: string; err: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [cli, 'sql', ...words], { env: environment, cwd: home });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.once('error', reject).once('close', (code) => resolve({ code, out, err }));
    child.stdin.on('error', () => undefined).end(input);
  });
}

describe('keyturn sql', () => {
  it('runs what is piped in, over lines, as the auditor', async () => {
    expect(await sql([], 'select current_user\n  as me;\nselect count(*) from audit.login_history')).toEqual({
      code: 0,
      err: '',
      out: 'me\n---------------\nkeyturn_auditor\n(1 row)\ncount\n-----\n0\n(1 row)\n',
    });
    expect(await readdir(home)).toEqual([]);
  });

  it('goes on after what fails, and ends with 1', async () => {
    const { code, out, err } = await sql([], 'delete from audit.users; select 1 as one;');
    expect([code, err]).toEqual([1, 'Postgres: permission denied for view users\n']);
    expect(out).toContain('one');
  });

  it('has the rights of the server with --as app', async () => {
    expect((await sql(['--as', 'app'], 'select current_user as me;')).out).toContain('keyturn_app');
    expect((await sql(['--as', 'app'], '\\d')).out).toMatch(/^keyturn\.sessions +table /m);
  });

  it('gives data with --json', async () => {
    const { out } = await sql(['--json'], `select 1 as one, 'a;b' as text;`);
    expect(JSON.parse(out)).toEqual([{ one: 1, text: 'a;b' }]);
  });

  it('runs the statements of its argument, whole, and ends at the first that fails', async () => {
    const { code, out, err } = await sql(['select generate_series(1, 600) as n; select 1/0; select 2 as two']);
    expect([code, err]).toEqual([1, 'keyturn: statement_refused: Postgres: division by zero\n']);
    expect(out).toMatch(/\n600\n\(600 rows\)\n$/);
    expect((await sql(['select 1 as one', '--json'])).out).toBe('[\n  {\n    "one": 1\n  }\n]\n');
  });

  it.each([
    [
      'postgres://keyturn_auditor@127.0.0.1:1/none',
      75,
      /^keyturn: database_unusable: No Postgres answers on 127\.0\.0\.1:1\/none\. .*\n$/,
    ],
    ['', 1, /^keyturn: setting_missing: Set AUDITOR_DATABASE_URL to a connection string of keyturn_auditor\.\n$/],
  ])('says what is wrong with %j for the auditor', async (url, exitCode, said) => {
    const { code, out, err } = await sql(['select 1'], '', url);
    expect([code, out]).toEqual([exitCode, '']);
    expect(err).toMatch(said);
  });

  it('says in its help where lines are kept', async () => {
    const { code, out } = await sql(['--help']);
    expect([code, out]).toEqual([0, expect.stringContaining('~/.keyturn_sql_history')]);
  });
});
