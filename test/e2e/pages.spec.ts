import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { UserAdministration } from '../../src/auth/administration/user-administration.js';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { UsersService } from '../../src/users/users.service.js';
import { KeyturnError } from '../../src/common/errors.js';
import { Cookies } from '../support/cookies.js';
import { exchange } from '../support/raw-http.js';
import { PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { OTHER_PASSWORD } from '../users/world.js';

const minute = 60_000;

let database: TestDatabase;
let server: TestApp;
let admin: string;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  admin = (await server.createUser({ username: 'root', roles: ['admin'] })).id;
  await server.createUser({ username: 'carl' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** A browser without script, as far as this server sees it. */
class Browser {
  readonly cookies = new Cookies();

  open(path: string): Promise<Answer> {
    return this.ask(path, {});
  }

  post(path: string, fields: Readonly<Record<string, string>> = {}, from = 'same-origin'): Promise<Answer> {
    return this.ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': from, origin: 'null' },
      body: new URLSearchParams(fields).toString(),
    });
  }

  private async ask(path: string, options: Parameters<TestApp['ask']>[1] & object): Promise<Answer> {
    const headers = { accept: 'text/html', ...this.cookies.header(), ...options.headers };
    const answer = await server.ask(path, { ...options, headers });
    this.cookies.keep(answer);
    return answer;
  }
}

let browser: Browser;
beforeEach(() => {
  browser = new Browser();
});

/** What stays after a logout: that somebody has logged in here before. It lets nobody in. */
const device = expect.stringMatching(/^keyturn-dev-\d+-device$/);
const namesOf = ({ cookies }: Browser): string[] => Object.keys(cookies.all());

const logIn = (fields: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  browser.post('/login', { username: 'carl', password: PASSWORD, ...fields });
const led = ({ status, headers }: Answer): readonly [number, string | null] => [status, headers.get('location')];
const value = ({ body }: Answer, name: string): string | undefined =>
  new RegExp(`name="${name}"[^>]*?value="([^"]*)"`, 's').exec(String(body))?.[1];
const alerts = ({ body }: Answer): string =>
  (/role="alert".*?<\/(div|p)>/s.exec(String(body))?.[0] ?? '').replace(/<[^>]*>|\s+/g, ' ');

describe('the login page', () => {
  it('leads to the account, with a session in cookies', async () => {
    expect(led(await logIn())).toEqual([303, '/account']);

    const { status, body } = await browser.open('/account');
    expect([status, String(body).includes('carl')]).toEqual([200, true]);
  });

  it('leads back to where the person wanted to go', async () => {
    const wanted = led(await browser.open('/account/password?x=1&y=2'))[1] ?? '';
    const page = await browser.open(wanted);
    expect(value(page, 'return')).toBe('/account/password?x=1&#38;y=2');

    expect(led(await logIn({ return: '/account/password?x=1&y=2' }))).toEqual([303, '/account/password?x=1&y=2']);
  });

  it.each([
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/.//evil.example',
    '/\t/evil.example',
    '/login',
    '/logout',
  ])('leads to the account when %j is asked for', async (hostile) => {
    const page = await browser.open(`/login?return=${encodeURIComponent(hostile)}`);
    expect([page.status, value(page, 'return')]).toEqual([200, undefined]);

    expect(led(await logIn({ return: hostile }))).toEqual([303, '/account']);
  });

  it('says the same of an unknown name, a wrong password and a name that cannot be, and keeps name and goal', async () => {
    const said = new Set<string>();
    for (const [username, password] of [
      ['carl', 'a mistaken one'],
      ['nobody', 'a mistaken one'],
      ['no body', PASSWORD],
      ['nul\0', PASSWORD],
      ['carl', `${PASSWORD}\0`],
    ] as const) {
      const answer = await logIn({ username, password, return: '/account?x' });
      expect([answer.status, value(answer, 'username'), value(answer, 'return')]).toEqual([
        401,
        username,
        '/account?x',
      ]);
      expect(answer.headers.getSetCookie()).toEqual([]);
      expect(String(answer.body)).not.toContain(password);
      said.add(alerts(answer));
    }
    expect([...said]).toEqual([expect.stringContaining('The username or the password is wrong.')]);
  });

  it('names what is missing, at its field', async () => {
    const answer = await logIn({ username: ' ', password: '' });

    expect([answer.status, alerts(answer)]).toEqual([
      400,
      expect.stringMatching(/Type your username\..*Type your password\./),
    ]);
    expect(answer.body).toMatch(
      /<a href="#username">[^]*id="username"[^>]*aria-describedby="username-problem"[^>]*aria-invalid="true"/,
    );
  });

  it.each<readonly ['busy' | 'too_many_attempts', number]>([
    ['busy', 503],
    ['too_many_attempts', 429],
  ])('says %s with %i and when to come back, and keeps the name', async (code, status) => {
    const users = server.app.get(UsersService);
    const authenticate = users.authenticate.bind(users);
    users.authenticate = () => Promise.reject(new KeyturnError(code, 'Not now.', { retryAfter: 7 }));
    try {
      const answer = await logIn();

      expect([answer.status, answer.headers.get('retry-after'), value(answer, 'username')]).toEqual([
        status,
        '7',
        'carl',
      ]);
      expect(alerts(answer)).toContain('Not now.');
    } finally {
      users.authenticate = authenticate;
    }
  });

  it.each(['cross-site', 'same-site'])('refuses a form that comes %s', async (from) => {
    const answer = await browser.post('/login', { username: 'carl', password: PASSWORD }, from);

    expect([answer.status, answer.headers.getSetCookie()]).toEqual([403, []]);
    expect(answer.body).toContain('cross_origin');
  });

  it('is not taken in by a query that was tampered with', async () => {
    for (const query of ['return=a&return=b', 'notice=%3Cscript%3E', 'notice=out&notice=out', 'return=%00'])
      expect([(await browser.open(`/login?${query}`)).status, query]).toEqual([200, query]);
  });
});

describe('logging out', () => {
  it('ends the session and takes the cookies back', async () => {
    await logIn();
    const before = browser.cookies.header();

    expect(led(await browser.post('/logout'))).toEqual([303, '/login?notice=out']);

    expect(namesOf(browser)).toEqual([device]);
    const { status } = await server.ask('/auth/me', { headers: { ...before, 'sec-fetch-site': 'same-origin' } });
    expect(status).toBe(401);
  });

  it('cannot be done by another site', async () => {
    await logIn();

    expect((await browser.post('/logout', {}, 'cross-site')).status).toBe(403);
    expect((await browser.open('/account')).status).toBe(200);
  });
});

describe('the account page', () => {
  it('is for who is logged in', async () => {
    expect(led(await browser.open('/account'))).toEqual([303, '/login?return=%2Faccount']);
    expect((await server.ask('/account')).status).toBe(401);
  });

  it('ends another device, which is then sent to log in', async () => {
    await logIn();
    const other = new Browser();
    await other.post('/login', { username: 'carl', password: PASSWORD });
    const id = value(await browser.open('/account'), 'id') ?? '';

    expect(led(await browser.post('/account/sessions/end', { id }))).toEqual([303, '/account?notice=ended']);
    expect(led(await browser.post('/account/sessions/end', { id }))).toEqual([303, '/account?notice=ended']);

    expect((await browser.open('/account')).status).toBe(200);
    const ended = await Promise.all([other.open('/account'), browser.open('/account')]);
    expect(new Set(ended.map(({ status }) => status))).toEqual(new Set([200, 303]));
  });

  it('logs out everywhere', async () => {
    await logIn();
    const other = new Browser();
    await other.post('/login', { username: 'carl', password: PASSWORD });

    expect(led(await browser.post('/account/logout-all'))).toEqual([303, '/login?notice=out']);

    expect(namesOf(browser)).toEqual([device]);
    expect((await other.open('/account')).status).toBe(303);
  });

  it('takes a form although the access token has run out since it was shown', async () => {
    await logIn();
    await database.moveClock(16 * minute);
    await server.hearNews();

    expect(led(await browser.post('/account/logout-all'))).toEqual([303, '/login?notice=out']);
  });

  it('changes the password, wants the old one, and says what speaks against the new one', async () => {
    await server.createUser({ username: 'dora' });
    await logIn({ username: 'dora' });
    const change = (currentPassword: string, newPassword: string): Promise<Answer> =>
      browser.post('/account/password', { username: 'dora', currentPassword, newPassword });

    const wrong = await change('wrong', OTHER_PASSWORD);
    expect([wrong.status, alerts(wrong)]).toEqual([401, expect.stringContaining('current password is wrong')]);
    const weak = await change(PASSWORD, 'short');
    expect([weak.status, alerts(weak)]).toEqual([400, expect.stringContaining('at least 15 characters')]);
    expect(weak.body).toContain('href="#newPassword"');
    for (const control of ['\0', '\t', '\u0007', '\u0085'])
      expect([control, (await change(PASSWORD, `${OTHER_PASSWORD}${control}`)).status]).toEqual([control, 400]);
    expect((await browser.post('/login', { username: 'dora', password: `${PASSWORD}\0` })).status).toBe(401);
    expect(led(await change(PASSWORD, OTHER_PASSWORD))).toEqual([303, '/account?notice=password']);

    expect((await browser.open('/account')).status).toBe(200);
    await expect(server.login('dora', OTHER_PASSWORD)).resolves.toMatchObject({ token_type: 'Bearer' });
  });
});

describe('the page of an invitation or a reset', () => {
  const invite = async (username: string): Promise<string> => {
    const { code } = await server.app.get(UserAdministration).invite({ userId: admin }, { username, roles: [] });
    return code;
  };

  it('greets who is invited by name, and sets the password once', async () => {
    const code = await invite('emil');
    const page = await browser.open(`/redeem?code=${code}`);
    expect([page.status, value(page, 'username')]).toEqual([200, 'emil']);
    expect(page.body).toContain('You are invited');

    expect(led(await browser.post('/redeem', { code, username: 'emil', password: OTHER_PASSWORD }))).toEqual([
      303,
      '/login?notice=password',
    ]);

    await expect(server.login('emil', OTHER_PASSWORD)).resolves.toMatchObject({ token_type: 'Bearer' });
    expect((await browser.open(`/redeem?code=${code}`)).status).toBe(400);
    expect((await browser.post('/redeem', { code, password: PASSWORD })).status).toBe(400);
  });

  it('says that it is a new password, keeps the code when the password is refused, and logs out everywhere', async () => {
    const { id } = await server.createUser({ username: 'fred' });
    await logIn({ username: 'fred' });
    const { code } = await server.app.get(UserAdministration).reset({ userId: admin }, id);
    expect((await browser.open(`/redeem?code=${code}`)).body).toContain('A new password');

    const weak = await browser.post('/redeem', { code, username: 'fred', password: 'short' });
    expect([weak.status, value(weak, 'code')]).toEqual([400, code]);
    expect((await browser.post('/redeem', { code, username: 'root', password: OTHER_PASSWORD })).status).toBe(303);

    expect((await browser.open('/account')).status).toBe(303);
    await expect(server.login('fred', OTHER_PASSWORD)).resolves.toMatchObject({ token_type: 'Bearer' });
  });

  it('is another page than that of the set-up, whose codes it does not take', async () => {
    const code = await invite('gina');

    expect((await browser.open(`/setup?code=${code}`)).status).toBe(400);
    expect((await browser.post('/setup', { code, username: 'gina', password: OTHER_PASSWORD })).status).toBe(400);
    expect((await browser.open(`/redeem?code=${code}`)).status).toBe(200);

    const empty = await createTestDatabase();
    const fresh = await startTestApp({ database: empty });
    try {
      const setup = (await fresh.app.get(OneTimeCodes).issueSetupCode()) ?? '';
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const body = new URLSearchParams({ code: setup, username: 'gina', password: OTHER_PASSWORD }).toString();
      expect((await fresh.ask(`/redeem?code=${setup}`)).status).toBe(400);
      expect((await fresh.ask('/redeem', { method: 'POST', headers, body })).status).toBe(400);
      expect((await fresh.ask(`/setup?code=${setup}`)).status).toBe(200);
      expect((await fresh.ask('/setup', { method: 'POST', headers, body: body.replace('gina', 'gi+na') })).status).toBe(
        400,
      );
    } finally {
      await fresh.close();
      await empty.drop();
    }
  });

  it('shows nothing for a wrong code', async () => {
    for (const query of ['', '?code=', '?code=%22%3E%3Cscript%3E', `?code=${'a'.repeat(300)}`, '?code=a&code=b'])
      expect([(await browser.open(`/redeem${query}`)).status, query]).toEqual([400, query]);
  });
});

describe('a page opened under another name of this machine', () => {
  const told = async (host: string, path: string, lines: readonly string[] = ['accept: text/html'], method = 'GET') => {
    const head = [`${method} ${path} HTTP/1.1`, `host: ${host}`, 'connection: close', ...lines].join('\r\n');
    const answer = await exchange(server.url, `${head}\r\n\r\n`);
    return [Number(answer.slice(9, 12)), /^location: (.*)\r$/im.exec(answer)?.[1]];
  };
  const port = (): string => new URL(server.url).port;

  it.each(['localhost', 'LOCALHOST', 'app.localhost', '[::1]', '127.0.0.2'])('%s leads to the issuer', async (name) => {
    for (const path of [
      '/',
      '/login?return=%2Faccount',
      '/setup?code=x',
      '/nowhere',
      '//evil.example/',
      '/\\evil.example',
    ])
      expect(await told(`${name}:${port()}`, path)).toEqual([303, server.url + path]);
  });

  it('is served where it was asked for when the name or the port is not one of ours', async () => {
    const hosts = [
      '127.0.0.1',
      'evil.example',
      'localhost.evil.example',
      'evil-localhost',
      'localhost@evil.example',
      '',
    ];
    for (const host of hosts) expect(await told(`${host}:${port()}`, '/login')).toEqual([200, undefined]);
    for (const host of ['localhost', 'localhost:1', 'localhost:99999', ':', '%'])
      expect(await told(host, '/login')).toEqual([200, undefined]);
    const forwarded = [`x-forwarded-host: localhost:${port()}`, 'accept: text/html'];
    expect(await told(`127.0.0.1:${port()}`, '/login', forwarded)).toEqual([200, undefined]);
  });

  it('is a matter of pages: what a program asks for, and what is sent, stays where it is', async () => {
    const host = `localhost:${port()}`;
    expect(await told(host, '/auth/me', ['accept: application/json'])).toEqual([401, undefined]);
    expect(await told(host, '/login', [])).toEqual([200, undefined]);
    const form = ['accept: text/html', 'content-type: application/x-www-form-urlencoded', 'content-length: 0'];
    const sent = await told(host, '/logout', [...form, `origin: http://${host}`], 'POST');
    expect(sent).toEqual([403, undefined]);
  });

  it('is led nowhere by an address that was meant for a proxy', async () => {
    const [, location] = await told(`localhost:${port()}`, 'http://evil.example/');
    expect(location).toBeUndefined();
  });
});

describe('every page', () => {
  it('may load its own style and send its own forms, is kept by nobody, and tells other sites no referrer', async () => {
    await logIn();
    const seen = await Promise.all(
      ['/login', '/account', '/account/password', '/redeem?code=x', '/setup?code=x', '/nothing', '/users'].map(
        async (path) => [path, (await browser.open(path)).headers] as const,
      ),
    );
    for (const [path, headers] of seen) {
      expect([path, headers.get('content-type')]).toEqual([path, 'text/html; charset=utf-8']);
      expect(headers.get('content-security-policy')).toBe(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      );
      expect([headers.get('cache-control'), headers.get('referrer-policy')]).toEqual(['no-store', 'same-origin']);
      expect([headers.get('x-content-type-options'), headers.get('server'), headers.get('x-powered-by')]).toEqual([
        ...['nosniff', null, null],
      ]);
    }
  });

  it('is made without script and without style of its own, and labels every field', async () => {
    await logIn();
    for (const path of ['/', '/login', '/account', '/account/password', '/nothing']) {
      const html = String((await browser.open(path)).body);
      expect(html).toMatch(/^<!doctype html>\s*<html lang="en">/);
      expect(html).not.toMatch(/<script|<style|\sstyle=|\son\w+=|javascript:/i);
      const labelled = new Set([...html.matchAll(/<label for="([^"]+)"/g)].map(([, id]) => id));
      const fields = [...html.matchAll(/<input\s[^>]*?id="([^"]+)"/g)].map(([, id]) => id);
      expect(fields.filter((id) => !labelled.has(id))).toEqual([]);
    }
  });

  it('tells a person what a program is told as a problem', async () => {
    await logIn();
    const forbidden = await browser.open('/users');
    expect([forbidden.status, String(forbidden.body)]).toEqual([403, expect.stringContaining('insufficient_scope')]);
    expect((await browser.open('/nothing')).status).toBe(404);
    expect((await browser.post('/nothing')).status).toBe(404);
    expect((await server.ask('/nothing')).body).toMatchObject({ code: 'not_found' });
  });

  it('takes forms and nothing else, and no other method', async () => {
    expect((await server.ask('/login', { json: { username: 'carl', password: PASSWORD } })).status).not.toBe(200);
    expect(await server.ask('/login', { method: 'DELETE' })).toMatchObject({
      status: 405,
      body: { code: 'method_not_allowed' },
    });
    expect((await logIn({ roles: 'admin' })).status).toBe(400);
    expect((await browser.post('/auth/login', { username: 'carl', password: PASSWORD })).status).toBe(415);
  });

  it('leaves no password, no code and no token in the log', async () => {
    const { code } = await server.app
      .get(UserAdministration)
      .invite({ userId: admin }, { username: 'hugo', roles: [] });
    await browser.open(`/redeem?code=${code}`);
    await browser.post('/redeem', { code, password: 'a secret that is kept' });
    await logIn({ password: 'another secret' });
    await logIn();
    await database.moveClock(16 * minute);
    await server.hearNews();
    await browser.open('/account');

    const log = server.log.join('\n');
    for (const secret of [
      code,
      'a secret that is kept',
      'another secret',
      PASSWORD,
      ...Object.values(browser.cookies.all()),
    ])
      expect(log).not.toContain(secret);
  });
});
