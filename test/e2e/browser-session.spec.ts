import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, Module, Post } from '@nestjs/common';
import { CurrentUser, Roles, type AuthenticatedUser } from '../../src/common/access.js';
import { PASSWORD, startTestApp, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { exchange } from '../support/raw-http.js';
import { Cookies } from '../support/cookies.js';
import { idOfSession, refusalOf } from '../users/world.js';

@Controller('reports')
class ReportsController {
  @Get()
  list(@CurrentUser() { username }: AuthenticatedUser): { for: string } {
    return { for: username };
  }

  @Post()
  write(@CurrentUser() { username }: AuthenticatedUser, @Body() what: unknown): { by: string; what: unknown } {
    return { by: username, what };
  }

  @Get('payroll')
  @Roles('hr')
  payroll(): { salaries: number } {
    return { salaries: 1 };
  }
}

@Module({ controllers: [ReportsController] })
class ReportsModule {}

const minute = 60_000;
/** As browsers ask for a page. */
const PAGE = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } as const;
const SAME = { 'sec-fetch-site': 'same-origin' } as const;

let database: TestDatabase;
let server: TestApp;
let name: string;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, features: [ReportsModule] });
  name = `keyturn-dev-${new URL(server.url).port}`;
  await server.createUser({ username: 'carl' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** A browser as far as this server sees it: it keeps cookies, and says that a page of this site asks. */
class Browser {
  readonly cookies = new Cookies();

  async ask(path: string, { headers, ...options }: AskOptions = {}): Promise<Answer> {
    const answer = await server.ask(path, { ...options, headers: { ...SAME, ...this.cookies.header(), ...headers } });
    this.cookies.keep(answer);
    return answer;
  }

  open(path: string): Promise<Answer> {
    return this.ask(path, { headers: PAGE });
  }

  access = (): string => this.cookies.value(name) ?? '';
  refresh = (): string => this.cookies.value(`${name}-refresh`) ?? '';
}

const logIn = (browser: Browser): Promise<Answer> =>
  browser.ask('/session', { json: { username: 'carl', password: PASSWORD } });
async function loggedIn(): Promise<Browser> {
  const browser = new Browser();
  expect((await logIn(browser)).status).toBe(200);
  return browser;
}
/** What two runs of the poll would bring, and the minutes between. */
async function pass(minutes: number): Promise<void> {
  await database.moveClock(minutes * minute);
  await server.hearNews();
}

/** The refresh token lives for a week, less what the statement took. */
const withoutSecrets = (cookie: string): string =>
  cookie.replace(/=[^;]*/, '=…').replace(/Max-Age=604(800|7\d\d)/, 'Max-Age=6047xx');

describe('a login in cookies', () => {
  it('puts both tokens out of reach of scripts and other sites, and shows none of them', async () => {
    const { headers, body } = await logIn(new Browser());

    expect(body).toEqual({ expires_in: 900, refresh_expires_in: expect.any(Number) });
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.getSetCookie().map(withoutSecrets)).toEqual([
      `${name}=…; Max-Age=900; Path=/; HttpOnly; SameSite=Strict`,
      `${name}-refresh=…; Max-Age=6047xx; Path=/; HttpOnly; SameSite=Strict`,
      // Lets nobody in: attempts of its own, for a device that is known.
      `${name}-device=…; Max-Age=34560000; Path=/; HttpOnly; SameSite=Strict`,
    ]);
  });

  it('opens what a token opens', async () => {
    const browser = await loggedIn();

    expect(await browser.ask('/reports')).toMatchObject({ status: 200, body: { for: 'carl' } });
    expect(await browser.ask('/reports', { json: { a: 1 } })).toMatchObject({ status: 201, body: { what: { a: 1 } } });
    expect(refusalOf(await browser.ask('/reports/payroll'))).toEqual([403, 'insufficient_scope']);
  });

  it('with a wrong password sets no cookie', async () => {
    const answer = await new Browser().ask('/session', { json: { username: 'carl', password: 'wrong' } });

    expect([refusalOf(answer), answer.headers.getSetCookie()]).toEqual([[401, 'invalid_credentials'], []]);
  });

  it('ends the session that the browser had before', async () => {
    const browser = await loggedIn();
    const before = browser.access();
    await logIn(browser);

    expect(refusalOf(await server.ask('/reports', { token: before }))).toEqual([401, 'invalid_token']);
    expect((await browser.ask('/reports')).status).toBe(200);
  });

  it('goes on with new tokens in the same session', async () => {
    const browser = await loggedIn();
    const [access, refresh] = [browser.access(), browser.refresh()];

    expect(await browser.ask('/session/refresh', { method: 'POST' })).toMatchObject({
      status: 200,
      body: { expires_in: 900 },
    });

    expect([browser.access() === access, browser.refresh() === refresh]).toEqual([false, false]);
    expect(idOfSession(browser.access())).toBe(idOfSession(access));
  });

  it('sets and takes no cookie when the refresh token is refused: the answer may come later than that to a newer login', async () => {
    const browser = await loggedIn();
    const late = browser.cookies.header();
    await logIn(browser);

    const answer = await server.ask('/session/refresh', {
      method: 'POST',
      headers: { ...SAME, ...late },
    });
    browser.cookies.keep(answer);

    expect([refusalOf(answer), answer.headers.getSetCookie()]).toEqual([[400, 'invalid_grant'], []]);
    expect((await browser.ask('/reports')).status).toBe(200);
  });

  it('ends everywhere when it is logged out, also after the access token has run out', async () => {
    const browser = await loggedIn();
    const refresh = browser.refresh();
    await pass(16);

    expect((await browser.ask('/session', { method: 'DELETE' })).status).toBe(204);

    expect([browser.access(), browser.refresh()]).toEqual(['', '']);
    expect(refusalOf(await server.refresh(refresh))).toEqual([400, 'invalid_grant']);
  });

  it('ends also when only one of the two cookies is left', async () => {
    for (const gone of [name, `${name}-refresh`]) {
      const browser = await loggedIn();
      const { [gone]: _, ...left } = browser.cookies.all();
      const cookie = Object.entries(left)
        .map((pair) => pair.join('='))
        .join('; ');

      expect((await server.ask('/session', { method: 'DELETE', headers: { ...SAME, cookie } })).status).toBe(204);
      expect(refusalOf(await server.refresh(browser.refresh()))).toEqual([400, 'invalid_grant']);
    }
  });

  it('cannot be logged out by a guess', async () => {
    const browser = await loggedIn();
    const guess = Buffer.from(browser.refresh().slice(4), 'base64url').fill(7, 20).toString('base64url');
    const cookie = `${name}-refresh=ktr_${guess}`;

    expect((await server.ask('/session', { method: 'DELETE', headers: { ...SAME, cookie } })).status).toBe(204);
    expect((await browser.ask('/reports')).status).toBe(200);
  });

  it('is over at its limits however often it was renewed', async () => {
    const browser = await loggedIn();
    const renewed: number[] = [];
    for (let week = 0; week < 5; week++) {
      await pass(6 * 24 * 60);
      renewed.push((await browser.ask('/session/refresh', { method: 'POST' })).status);
    }
    expect(renewed).toEqual([200, 200, 200, 200, 400]);
    expect(refusalOf(await browser.ask('/reports'))).toEqual([401, 'token_expired']);
  });
});

describe('cookies of a service', () => {
  it.each([
    ['under https', { ISSUER: 'https://login.example.com' }],
    ['under http on a host that is not this machine', { ISSUER: 'http://login.example.com' }],
  ])('%s are Secure and of this host alone', async (_, settings) => {
    const other = await startTestApp({ database, settings: { KEK: server.kek, ...settings } });
    try {
      const { headers } = await other.ask('/session', {
        json: { username: 'carl', password: PASSWORD },
        headers: SAME,
      });

      expect(headers.getSetCookie().map(withoutSecrets)).toEqual([
        '__Host-keyturn=…; Max-Age=900; Path=/; HttpOnly; SameSite=Strict; Secure',
        '__Host-keyturn-refresh=…; Max-Age=6047xx; Path=/; HttpOnly; SameSite=Strict; Secure',
        '__Host-keyturn-device=…; Max-Age=34560000; Path=/; HttpOnly; SameSite=Strict; Secure',
      ]);
    } finally {
      await other.close();
    }
  });
});

/** Sends these bytes (latin1) as the Cookie header; status and code of the answer. */
async function askWith(
  cookie: string,
  line = 'GET /reports',
  body = '',
): Promise<readonly [number, string | undefined]> {
  const answer = await exchange(
    server.url,
    Buffer.from(
      `${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nsec-fetch-site: same-origin\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\ncookie: ${cookie}\r\n\r\n${body}`,
      'latin1',
    ),
  );
  return [Number(answer.slice(9, 12)), /"code":"(\w+)"/.exec(answer)?.[1]];
}

describe('a cookie that another host of the site has slipped in', () => {
  const BLANKS = ['\xa0', '\x85', '\x0b', '\x0c', '\xe2\x80\x83', '\xef\xbb\xbf', '\xc2\xa0'] as const;

  it.each(BLANKS)('whose name begins with %j is not ours', async (blank) => {
    const { cookies, access, refresh } = await loggedIn();
    for (const evil of [
      `${blank}${name}=${access()}`,
      `a=b; ${blank}${name}=${access()}`,
      `${name}${blank}=${access()}`,
    ]) {
      // Node's parser refuses control characters in a header by itself.
      expect([
        [401, 'missing_token'],
        [400, 'invalid_request'],
      ]).toContainEqual(await askWith(evil));
    }
    const spent = `${blank}${name}-refresh=${refresh()}`;
    expect([
      [400, 'invalid_grant'],
      [400, 'invalid_request'],
    ]).toContainEqual(await askWith(`a=b; ${spent}`, 'POST /session/refresh'));
    expect((await server.ask('/reports', { headers: cookies.header() })).status).toBe(200);
  });

  it.each(['\xa0', '\xe2\x80\x83'])('whose name begins with %j hides none of ours', async (blank) => {
    const { cookies } = await loggedIn();

    expect((await askWith(`${blank}${name}=evil; ${cookies.header().cookie}`))[0]).toBe(200);
  });

  it('of the very same name makes the request a malformed one, whichever comes first', async () => {
    const browser = await loggedIn();
    const twice = [400, 'invalid_request'];
    for (const cookie of [`${name}=evil; ${name}=${browser.access()}`, `${name}=${browser.access()};${name}=`])
      expect(await askWith(cookie)).toEqual(twice);
    const refresh = `${name}-refresh=${browser.refresh()}`;
    expect(await askWith(`${refresh}; ${refresh}`, 'POST /session/refresh')).toEqual(twice);
    expect(await askWith(`${refresh}; ${refresh}`, 'DELETE /session')).toEqual(twice);
    const login = JSON.stringify({ username: 'carl', password: PASSWORD });
    for (const kind of ['', '-refresh', '-device'])
      expect(await askWith(`${name}${kind}=a; ${name}${kind}=b`, 'POST /session', login)).toEqual(twice);
    expect((await browser.ask('/reports')).status).toBe(200);
  });

  it('for a device has no say in the login', async () => {
    const login = JSON.stringify({ username: 'carl', password: PASSWORD });

    expect((await askWith(`\xa0${name}-device=evil`, 'POST /session', login))[0]).toBe(200);
  });
});

describe('a cookie at the guard', () => {
  it('beside an Authorization header is one credential too many', async () => {
    const browser = await loggedIn();

    expect(refusalOf(await browser.ask('/reports', { token: browser.access() }))).toEqual([400, 'invalid_request']);
  });

  it('is not mistaken for another of a similar name', async () => {
    const cookie = [`x${name}`, `${name}x`, `${name}-refreshed`].map((other) => `${other}=${'a'.repeat(9)}`).join('; ');

    expect(refusalOf(await server.ask('/reports', { headers: { cookie } }))).toEqual([401, 'missing_token']);
  });

  it('that is no token is refused like one in the header', async () => {
    expect(refusalOf(await server.ask('/reports', { headers: { cookie: `${name}=no.good.token` } }))).toEqual([
      ...[401, 'invalid_token'],
    ]);
  });

  it('that holds the refresh token opens nothing', async () => {
    const browser = await loggedIn();

    expect(refusalOf(await server.ask('/reports', { headers: { cookie: `${name}=${browser.refresh()}` } }))).toEqual([
      ...[401, 'invalid_token'],
    ]);
  });

  it.each<readonly [string, (url: string) => Readonly<Record<string, string>>]>([
    ['Sec-Fetch-Site: same-origin', () => ({ 'sec-fetch-site': 'same-origin' })],
    ['the Origin of this site', (url) => ({ origin: url })],
    ['Sec-Fetch-Site: same-origin and an opaque Origin', () => ({ origin: 'null', 'sec-fetch-site': 'same-origin' })],
  ])('may write with %s', async (_, headers) => {
    const { cookies } = await loggedIn();

    const answer = await server.ask('/reports', { json: {}, headers: { ...cookies.header(), ...headers(server.url) } });

    expect(answer.status).toBe(201);
  });

  it.each<readonly [string, (url: string) => Readonly<Record<string, string>>]>([
    ['nothing to prove where it comes from', () => ({})],
    ['Sec-Fetch-Site: cross-site', () => ({ 'sec-fetch-site': 'cross-site' })],
    ['Sec-Fetch-Site: same-site', () => ({ 'sec-fetch-site': 'same-site' })],
    ['Sec-Fetch-Site: none', () => ({ 'sec-fetch-site': 'none' })],
    [
      'Sec-Fetch-Site: cross-site and the Origin of this site',
      (url) => ({ 'sec-fetch-site': 'cross-site', origin: url }),
    ],
    ['an opaque Origin', () => ({ origin: 'null' })],
    ...['https://evil.example', ''].map((origin): [string, () => Readonly<Record<string, string>>] => [
      `Sec-Fetch-Site: same-origin and the Origin '${origin}'`,
      () => ({ origin, 'sec-fetch-site': 'same-origin' }),
    ]),
    ['the Origin of another port', () => ({ origin: 'http://127.0.0.1:1' })],
    ['the Origin of this site under https', (url) => ({ origin: url.replace('http:', 'https:') })],
    ['an Origin that begins like this site', (url) => ({ origin: `${url}.evil.example` })],
  ])('may not write with %s', async (_, headers) => {
    const { cookies } = await loggedIn();

    for (const [path, options] of [
      ['/reports', { json: {} }],
      ['/session/refresh', { method: 'POST' }],
      ['/session', { method: 'DELETE' }],
    ] as const) {
      const answer = await server.ask(path, { ...options, headers: { ...cookies.header(), ...headers(server.url) } });
      expect(refusalOf(answer)).toEqual([403, 'cross_origin']);
    }
    expect((await server.ask('/reports', { headers: cookies.header() })).status).toBe(200);
  });

  it('that came along with another site is not looked at', async () => {
    const { cookies } = await loggedIn();

    const answer = await server.ask('/reports', { headers: { ...cookies.header(), 'sec-fetch-site': 'cross-site' } });

    expect(refusalOf(answer)).toEqual([401, 'missing_token']);
  });
});

describe('a person who goes to a guarded page', () => {
  it('without a login is sent to log in, and back', async () => {
    const { status, headers } = await new Browser().open('/reports?of=2026&by=//x');

    expect([status, headers.get('location')]).toEqual([303, '/login?return=%2Freports%3Fof%3D2026%26by%3D%2F%2Fx']);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('is told from a program, which gets 401', async () => {
    for (const headers of [
      {},
      { accept: '*/*' },
      { accept: 'application/json' },
      { accept: 'text/html;q=0' },
      { accept: 'application/json, text/htmlx' },
    ])
      expect(refusalOf(await server.ask('/reports', { headers }))).toEqual([401, 'missing_token']);
    expect((await server.ask('/reports', { headers: PAGE, token: 'no.good.token' })).status).toBe(401);
  });

  it('sees it although the access token has run out, and has a new one', async () => {
    const browser = await loggedIn();
    const [access, refresh] = [browser.access(), browser.refresh()];
    await pass(16);
    expect(refusalOf(await browser.ask('/reports'))).toEqual([401, 'token_expired']);

    expect(await browser.open('/reports')).toMatchObject({ status: 200, body: { for: 'carl' } });

    expect([browser.access() === access, browser.refresh() === refresh]).toEqual([false, false]);
    expect((await browser.ask('/reports')).status).toBe(200);
  });

  it('sees it although the browser has dropped the access token', async () => {
    const browser = await loggedIn();
    browser.cookies.drop(name);

    expect((await browser.open('/reports')).status).toBe(200);
    expect(browser.access()).not.toBe('');
  });

  it('sees twenty at once with the one refresh token, and stays logged in', async () => {
    const browser = await loggedIn();
    await pass(16);

    const before = browser.cookies.header();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => server.ask('/reports', { headers: { ...SAME, ...PAGE, ...before } })),
    );

    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const successors = new Set(answers.map(({ headers }) => headers.getSetCookie()[1]?.split(';')[0]));
    expect(successors.size).toBe(1);
    for (const answer of answers) browser.cookies.keep(answer);
    await pass(16);
    expect((await browser.open('/reports')).status).toBe(200);
  });

  it('has the roles of now', async () => {
    const { id } = await server.createUser({ username: 'hanna' });
    const browser = new Browser();
    await browser.ask('/session', { json: { username: 'hanna', password: PASSWORD } });
    expect((await browser.open('/reports/payroll')).status).toBe(403);
    await database
      .connect('superuser')
      .then((db) => db.query(`UPDATE keyturn.users SET roles = '{hr}' WHERE id = $1`, [id]));
    await server.hearNews();

    expect((await browser.open('/reports/payroll')).status).toBe(200);
  });

  it('is sent to log in when the session has ended', async () => {
    const browser = await loggedIn();
    await server.ask('/auth/logout', { method: 'POST', token: browser.access() });

    const { status, headers } = await browser.open('/reports');

    expect([status, headers.get('location')]).toEqual([303, '/login?return=%2Freports']);
  });

  it('loses no newer login when an answer to an older page comes late', async () => {
    const browser = await loggedIn();
    const old = browser.cookies.header();
    await logIn(browser);

    const late = await server.ask('/reports', { headers: { ...SAME, ...PAGE, ...old } });
    browser.cookies.keep(late);

    expect([late.status, late.headers.getSetCookie()]).toEqual([303, []]);
    expect((await browser.open('/reports')).status).toBe(200);
  });

  it('is sent to log in when a spent refresh token comes back, and the session has ended', async () => {
    const browser = await loggedIn();
    const stolen = browser.cookies.header();
    await pass(16);
    expect((await browser.open('/reports')).status).toBe(200);
    await pass(1);

    expect((await server.ask('/reports', { headers: { ...SAME, ...PAGE, ...stolen } })).status).toBe(303);
    expect((await browser.open('/reports')).status).toBe(303);
  });

  it('is not renewed by a request of another site', async () => {
    const browser = await loggedIn();
    await pass(16);

    const answer = await server.ask('/reports', {
      headers: { ...PAGE, ...browser.cookies.header(), 'sec-fetch-site': 'cross-site' },
    });

    expect([answer.status, answer.headers.getSetCookie()]).toEqual([303, []]);
  });
});
