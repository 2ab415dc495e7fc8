import { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { loadConfig, type Environment } from '../../src/config/load-config.js';
import { SYSTEM } from '../../src/database/change.js';
import { KeyEncryptionKeys } from '../../src/keys/vault/key-encryption-keys.js';
import { run } from '../../src/start.js';
import { UsersService } from '../../src/users/users.service.js';
import { askAt, PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let server: TestApp;
let code: string;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  code = (await server.app.get(OneTimeCodes).issueSetupCode()) ?? '';
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const submit = (
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> =>
  server.ask('/setup', {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
  });

describe('the set-up page', () => {
  it('shows a form for a good code, under a policy that lets no script run', async () => {
    const { status, headers, body } = await server.ask(`/setup?code=${code}`);
    expect(status).toBe(200);
    expect(body).toContain(`value="${code}"`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('shows no form for a wrong code, and escapes what it is given', async () => {
    const { status, body } = await server.ask('/setup?code=%22%3E%3Cscript%3E');
    expect(status).toBe(400);
    expect(body).not.toContain('<form');
    expect(body).not.toContain('<script');
  });

  it('says what speaks against a password, keeps the name, and keeps the code good', async () => {
    const { status, body } = await submit({ code, username: 'anna"', password: 'too short' });
    expect(status).toBe(400);
    expect(body).toContain('at least 15 characters');
    expect(body).toContain('value="anna&#34;"');
    expect((await server.ask(`/setup?code=${code}`)).status).toBe(200);
  });

  it.each<readonly [string, Readonly<Record<string, string>>]>([
    ['an Origin of another site', { origin: 'https://evil.example' }],
    ['Sec-Fetch-Site cross-site', { 'sec-fetch-site': 'cross-site' }],
    ['an opaque Origin', { origin: 'null' }],
  ])('refuses a form that comes with %s', async (_, headers) => {
    expect(await submit({ code, username: 'mallory', password: PASSWORD }, headers)).toMatchObject({
      status: 403,
      body: { code: 'cross_origin' },
    });
    expect(await server.app.get(UsersService).hasAdministrator()).toBe(false);
  });

  it('makes one administrator of ten who post at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        server.ask('/auth/redeem', { json: { code, username: `admin${index}`, password: PASSWORD } }),
      ),
    );
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    const { rows } = await database
      .connect('app')
      .then((app) => app.query('SELECT username, roles FROM keyturn.users'));
    expect(rows).toEqual([{ username: expect.stringMatching(/^admin\d$/), roles: ['admin'] }]);
    await expect(server.login(String(rows[0]?.username))).resolves.toMatchObject({ token_type: 'Bearer' });
  });

  it('leaves each redemption in the login history, from where it came', async () => {
    const fresh = await createTestDatabase();
    const own = await startTestApp({ database: fresh });
    const setup = (await own.app.get(OneTimeCodes).issueSetupCode()) ?? '';
    const { status } = await own.ask('/setup', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': 'a browser of the test' },
      body: new URLSearchParams({ code: setup, username: 'ada', password: PASSWORD }).toString(),
    });
    const { rows } = await (
      await fresh.connect('auditor')
    ).query('SELECT outcome, username, host(address) AS address, user_agent FROM audit.login_history');
    await own.close();
    await fresh.drop();
    expect([status, rows]).toEqual([
      303,
      [{ outcome: 'code_redeemed', username: 'ada', address: '127.0.0.1', user_agent: 'a browser of the test' }],
    ]);
  });

  it('is gone once there is an administrator', async () => {
    expect((await server.ask(`/setup?code=${code}`)).status).toBe(400);
    expect(await server.app.get(OneTimeCodes).issueSetupCode()).toBeUndefined();
    const again = await server.app
      .get(UsersService)
      .createFirstAdministrator(SYSTEM, { username: 'second', password: PASSWORD });
    expect(again).toBeUndefined();
  });
});

describe('the form of the set-up page', () => {
  let page: TestDatabase;
  let fresh: TestApp;
  let freshCode: string;
  beforeAll(async () => {
    page = await createTestDatabase();
    fresh = await startTestApp({ database: page });
  });
  beforeEach(async () => {
    await page.connect('superuser').then((superuser) => superuser.query('DELETE FROM keyturn.users'));
    freshCode = (await fresh.app.get(OneTimeCodes).issueSetupCode()) ?? '';
  });
  afterAll(async () => {
    await fresh?.close();
    await page?.drop();
  });

  const post = (fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
    fresh.ask('/setup', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields).toString(),
    });
  const right = () => ({ code: freshCode, username: 'anna', password: PASSWORD });

  it('sent from this site makes an administrator and leads on by 303, so that a reload sends nothing', async () => {
    const { status, headers } = await post(right(), { origin: fresh.url, 'sec-fetch-site': 'same-origin' });

    expect(status).toBe(303);
    expect((await fresh.ask(headers.get('location') ?? '')).status).toBe(200);
    const { access_token: token } = await fresh.login('anna');
    expect(await fresh.ask('/auth/me', { token })).toMatchObject({ body: { username: 'anna', roles: ['admin'] } });
  });

  it('sent twice makes one administrator', async () => {
    expect((await post(right())).status).toBe(303);

    const { status, body } = await post({ ...right(), username: 'mallory' });

    expect([status, String(body).includes('<form')]).toEqual([400, false]);
    await expect(fresh.login('mallory')).rejects.toThrow('invalid_credentials');
  });

  it('with a wrong code makes nobody', async () => {
    const { status, body } = await post({ ...right(), code: 'A'.repeat(32) });

    expect([status, String(body).includes('<form')]).toEqual([400, false]);
    expect(await fresh.app.get(UsersService).hasAdministrator()).toBe(false);
  });

  it('with a code half an hour old makes nobody', async () => {
    await page.moveClock(30 * 60_000);

    expect((await post(right())).status).toBe(400);
    expect(await fresh.app.get(UsersService).hasAdministrator()).toBe(false);
  });

  it('works with the code of either of two servers that started together, and then with neither', async () => {
    const other = (await fresh.app.get(OneTimeCodes).issueSetupCode()) ?? '';
    expect((await post(right())).status).toBe(303);

    expect((await post({ code: other, username: 'mallory', password: PASSWORD })).status).toBe(400);
    expect((await fresh.ask(`/setup?code=${other}`)).body).not.toContain('<form');
  });

  it('with a role in it makes nobody', async () => {
    expect((await post({ ...right(), roles: 'auditor' })).status).toBe(400);
    expect(await fresh.app.get(UsersService).hasAdministrator()).toBe(false);
  });

  it('leaves neither the code nor the password in the log', async () => {
    await post({ ...right(), password: 'short secret' });
    await post(right());

    const log = fresh.log.join('\n');
    for (const secret of [freshCode, PASSWORD, 'short secret']) expect(log).not.toContain(secret);
  });
});

describe('a server that starts over an empty database', () => {
  let empty: TestDatabase;
  let running: Started | undefined;
  beforeEach(async () => {
    empty = await createTestDatabase();
  });
  afterEach(async () => {
    await running?.stop();
    await empty.drop();
  });

  /** Starts as `npm start` does, after stopping what ran before. */
  async function start(settings: Environment = {}): Promise<Started> {
    await running?.stop();
    running = undefined;
    const first = new FirstScreen();
    const config = loadConfig({
      ...{ PORT: '0', DATABASE_URL: empty.urls.app, MIGRATION_DATABASE_URL: empty.urls.migrator },
      ...{ KEK: server.kek, LOG_LEVEL: 'silent', ...settings },
    });
    const started = await run(config, first);
    running = { url: started.url, screen: first.text, stop: () => started.stop() };
    return running;
  }

  const statusOf = async (url: string, password: string): Promise<number> =>
    (await askAt(url, '/auth/login', { json: { username: 'ada', password } })).status;
  const named = (password: string): Environment => ({
    KEYTURN_ADMIN_USERNAME: 'ada',
    KEYTURN_ADMIN_PASSWORD: password,
  });

  it('invites nobody to become administrator while its key-encryption key is another one, for nobody could log in', async () => {
    const right = await start();
    expect(right.screen).toContain('/setup?code=');
    const wrong = await start({ KEK: KeyEncryptionKeys.newLine() });
    expect(wrong.screen).not.toContain('/setup');
    expect(wrong.screen).toMatch(/signing key \S+ cannot be opened here.*nobody can log in\. Check KEK_FILE or KEK/);
  });

  it('makes the first administrator from the environment, once, and never changes the password again', async () => {
    const first = await start(named(PASSWORD));
    expect(first.screen).toContain('first administrator ada');
    expect(first.screen).not.toContain(PASSWORD);
    expect(await statusOf(first.url, PASSWORD)).toBe(200);

    const second = await start(named('another winter staircase'));

    expect(second.screen).not.toContain('first administrator');
    expect([await statusOf(second.url, PASSWORD), await statusOf(second.url, 'another winter staircase')]).toEqual([
      200, 401,
    ]);
  });

  it('prints an address that shows the form when the environment names nobody', async () => {
    const { screen } = await start();

    const address = new URL(/first administrator: (http:\S+)/.exec(screen)?.[1] ?? '');

    expect(await askAt(address.origin, address.pathname + address.search, {})).toMatchObject({
      status: 200,
      body: expect.stringContaining('<form'),
    });
  });

  it('does not start with a name that cannot be one, and says so', async () => {
    await expect(start({ ...named(PASSWORD), KEYTURN_ADMIN_USERNAME: 'ada l' })).rejects.toMatchObject({
      name: 'ConfigError',
      message: expect.stringContaining('KEYTURN_ADMIN_USERNAME'),
    });
  });

  it('does not start with a password that the policy refuses, and says so', async () => {
    await expect(start(named('too short'))).rejects.toMatchObject({
      name: 'ConfigError',
      message: expect.stringMatching(/KEYTURN_ADMIN_PASSWORD.*at least 15 characters/s),
    });
  });
});

interface Started {
  readonly url: string;
  readonly screen: string;
  stop(): Promise<void>;
}

/** What a person sees who starts the server. */
class FirstScreen extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
