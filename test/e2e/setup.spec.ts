import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { SYSTEM } from '../../src/database/change.js';
import { UsersService } from '../../src/users/users.service.js';
import { PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
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

  it('is gone once there is an administrator', async () => {
    expect((await server.ask(`/setup?code=${code}`)).status).toBe(400);
    expect(await server.app.get(OneTimeCodes).issueSetupCode()).toBeUndefined();
    const again = await server.app
      .get(UsersService)
      .createFirstAdministrator(SYSTEM, { username: 'second', password: PASSWORD });
    expect(again).toBeUndefined();
  });
});
