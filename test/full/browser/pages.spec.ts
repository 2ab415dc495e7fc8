import { createServer, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { UserAdministration } from '../../../src/auth/administration/user-administration.js';
import { OneTimeCodes } from '../../../src/auth/codes/one-time-codes.js';
import { PASSWORD, startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';
import { OTHER_PASSWORD } from '../../users/world.js';
import { hasBrowser, openBrowser, type Visitor, type VisitorOptions } from './browser.js';
import { openTls, type TlsFront } from './tls-front.js';

// A browser starts for each test.
jest.setTimeout(120_000);

const minute = 60_000;
const inBrowser = hasBrowser() ? describe : describe.skip;

let database: TestDatabase;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const open = new Set<Visitor>();
afterEach(async () => {
  await Promise.all([...open].map((visitor) => visitor.close()));
  open.clear();
});
async function visit(options?: VisitorOptions): Promise<Visitor> {
  const visitor = await openBrowser(options);
  open.add(visitor);
  return visitor;
}

/** A browser notes on its console that a form was refused; that is no complaint of ours. */
const complaintsOf = ({ complaints }: Visitor): string[] =>
  complaints.filter((line) => !/status of (400|401|403) /.test(line));
const pathOf = ({ page }: Visitor): string => page.url().replace(/^https?:\/\/[^/]+/, '');
const heading = ({ page }: Visitor): Promise<string> => page.locator('h1').innerText();

async function fillIn({ page }: Visitor, fields: Readonly<Record<string, string>>): Promise<void> {
  for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
  await page.locator('main form button').first().click();
}
const logIn = (visitor: Visitor, username: string, password = PASSWORD): Promise<void> =>
  fillIn(visitor, { 'Username or e-mail address': username, Password: password });
const press = ({ page }: Visitor, name: string): Promise<void> =>
  page.getByRole('button', { name, exact: true }).click();

/** The two that are a login; the third only knows the device again. */
const loginCookies = async ({
  context,
}: Visitor): Promise<readonly { readonly name: string; readonly value: string }[]> =>
  (await context.cookies()).filter(({ name }) => !name.endsWith('-device'));

async function logInNew(username: string, options?: VisitorOptions): Promise<Visitor> {
  await server.createUser({ username });
  const visitor = await visit(options);
  await visitor.page.goto(`${server.url}/login`);
  await logIn(visitor, username);
  expect(pathOf(visitor)).toBe('/account');
  return visitor;
}

inBrowser('a person with a browser', () => {
  it.each([
    ['with script', true],
    ['without script', false],
  ])(
    'becomes administrator, logs in, stays logged in past the access token, and logs out, %s',
    async (_, javaScriptEnabled) => {
      const empty = await createTestDatabase();
      const fresh = await startTestApp({ database: empty });
      try {
        const visitor = await visit({ javaScriptEnabled });
        const { page } = visitor;
        const code = await fresh.app.get(OneTimeCodes).issueSetupCode();

        await page.goto(`${fresh.url}/setup?code=${code}`);
        await fillIn(visitor, { 'Username or e-mail address': 'ada', Password: 'too short' });
        expect(await page.getByRole('alert').innerText()).toContain('at least 15 characters');
        await fillIn(visitor, { Password: PASSWORD });
        expect(pathOf(visitor)).toBe('/login?notice=setup');

        await page.goto(`${fresh.url}/account/password`);
        expect(pathOf(visitor)).toBe('/login?return=%2Faccount%2Fpassword');
        await logIn(visitor, 'ada', 'a mistaken one');
        expect(await page.getByRole('alert').innerText()).toContain('The username or the password is wrong.');
        await fillIn(visitor, { Password: PASSWORD });
        expect([pathOf(visitor), await heading(visitor)]).toEqual(['/account/password', 'Change password']);

        const before = await loginCookies(visitor);
        await empty.moveClock(16 * minute);
        await fresh.hearNews();
        await page.goto(`${fresh.url}/account`);
        expect([pathOf(visitor), await heading(visitor)]).toEqual(['/account', 'Your account']);
        const after = await loginCookies(visitor);
        expect(after.map(({ name }) => name)).toEqual(before.map(({ name }) => name));
        expect(after.filter(({ value }) => before.some((cookie) => cookie.value === value))).toEqual([]);

        await press(visitor, 'Log out');
        expect([pathOf(visitor), await loginCookies(visitor)]).toEqual(['/login?notice=out', []]);
        await page.goBack();
        await page.goto(`${fresh.url}/account`);
        expect(await heading(visitor)).toBe('Log in');
        expect(complaintsOf(visitor)).toEqual([]);
      } finally {
        await fresh.close();
        await empty.drop();
      }
    },
  );

  it('keeps two cookies that no script and no other site can have', async () => {
    const visitor = await logInNew('bert');

    const { port } = new URL(server.url);
    const rules = { domain: '127.0.0.1', path: '/', httpOnly: true, secure: false, sameSite: 'Strict' };
    expect(await visitor.context.cookies()).toEqual([
      expect.objectContaining({ ...rules, name: `keyturn-dev-${port}` }),
      expect.objectContaining({ ...rules, name: `keyturn-dev-${port}-refresh` }),
      expect.objectContaining({ ...rules, name: `keyturn-dev-${port}-device` }),
    ]);
    expect(await visitor.page.evaluate('document.cookie')).toBe('');
    expect(complaintsOf(visitor)).toEqual([]);
  });

  it('accepts an invitation, and later a new password', async () => {
    const root = await server.createUser({ username: 'root', roles: ['admin'] });
    const administration = server.app.get(UserAdministration);
    const { redeemUrl, user } = await administration.invite({ userId: root.id }, { username: 'carla', roles: [] });
    const visitor = await visit();

    await visitor.page.goto(redeemUrl);
    expect(await heading(visitor)).toBe('You are invited');
    expect(await visitor.page.getByLabel('Your username').inputValue()).toBe('carla');
    await fillIn(visitor, { 'New password': PASSWORD });
    await logIn(visitor, 'carla');
    expect(pathOf(visitor)).toBe('/account');

    const reset = await administration.reset({ userId: root.id }, user.id);
    await visitor.page.goto(reset.redeemUrl);
    expect(await heading(visitor)).toBe('A new password');
    await fillIn(visitor, { 'New password': OTHER_PASSWORD });
    await logIn(visitor, 'carla', OTHER_PASSWORD);
    expect(pathOf(visitor)).toBe('/account');
    expect(complaintsOf(visitor)).toEqual([]);
  });

  it('never leaves this site by the path that a login leads on to', async () => {
    const visitor = await logInNew('dirk');
    const asked: string[] = [];
    visitor.page.on('request', (request) => asked.push(new URL(request.url()).origin));
    for (const hostile of [
      '//evil.test',
      '/\\evil.test',
      '/\t/evil.test',
      '/.//evil.test',
      'https://evil.test',
      'javascript:alert(1)',
    ]) {
      await visitor.page.goto(`${server.url}/login?return=${encodeURIComponent(hostile)}`);
      await logIn(visitor, 'dirk');
      expect([hostile, pathOf(visitor)]).toEqual([hostile, '/account']);
    }
    expect([...new Set(asked)]).toEqual([server.url]);
  });

  it('sees every page whole on a narrow screen, light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const visitor = await logInNew(`narrow-${colorScheme}@a-long-name-of-a-company.example.com`, {
        colorScheme,
        viewport: { width: 320, height: 640 },
      });
      for (const path of ['/', '/login', '/account', '/account/password', '/setup?code=x', '/nothing']) {
        await visitor.page.goto(server.url + path);
        expect([path, await visitor.page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, 320]);
      }
    }
  });

  it('reads the API description, made by its script under a policy of its own', async () => {
    const visitor = await visit();
    await visitor.page.goto(`${server.url}/docs`);
    await visitor.page.locator('.opblock').first().waitFor();

    expect(await visitor.page.locator('.opblock').count()).toBeGreaterThan(25);
    expect(visitor.complaints).toEqual([]);
  });
});

inBrowser('another site', () => {
  let evil: Server;
  let port: number;
  beforeAll(async () => {
    evil = createServer((request, response) => {
      const target = new URL(request.url ?? '', 'http://x').searchParams.get('target') ?? '';
      response.setHeader('content-type', 'text/html');
      response.end(
        `<form method="post" action="${server.url}${target}"><input name="username" value="mallory"><input name="password" value="${PASSWORD}"><button>Win</button></form><a href="${server.url}/account">account</a>`,
      );
    });
    port = await new Promise((resolve) => {
      evil.listen(0, '127.0.0.1', () => {
        const address = evil.address();
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
  });
  afterAll(async () => {
    evil?.closeAllConnections();
    await new Promise((resolve) => evil?.close(resolve));
  });

  // Another host is another site, whose requests bring no cookies; another port is the same site, and they come along.
  it.each(['localhost', '127.0.0.1'])(
    'at another %s cannot send forms in the name of a person who is logged in',
    async (host) => {
      const visitor = await logInNew(`victim-of-${host}`);
      const before = await visitor.context.cookies();
      for (const target of ['/logout', '/account/logout-all', '/login']) {
        await visitor.page.goto(`http://${host}:${port}/?target=${target}`);
        const answered = visitor.page.waitForResponse(server.url + target);
        await press(visitor, 'Win');
        const status = (await answered).status();
        // Without cookies there is nobody to log out: they are sent to log in.
        expect([target, status]).toEqual([
          target,
          host === 'localhost' && target === '/account/logout-all' ? 303 : 403,
        ]);
      }
      expect(await visitor.context.cookies()).toEqual(before);
      await visitor.page.goto(`${server.url}/account`);
      expect(await visitor.page.locator('main').innerText()).toContain(`victim-of-${host}`);
    },
  );
});

inBrowser('a person with a browser, over https', () => {
  let front: TlsFront | undefined;
  let behind: TestApp | undefined;
  afterEach(async () => {
    await front?.close();
    await behind?.close();
  });

  it('keeps __Host- cookies, and logs in and out with them', async () => {
    front = await openTls();
    behind = await startTestApp({ database, settings: { KEK: server.kek, ISSUER: front.url } });
    front.to(behind.url);
    await server.createUser({ username: 'hella' });
    const visitor = await visit({ ignoreHTTPSErrors: true });

    await visitor.page.goto(`${front.url}/account`);
    await logIn(visitor, 'hella');

    expect([pathOf(visitor), await heading(visitor)]).toEqual(['/account', 'Your account']);
    const rules = { domain: '127.0.0.1', path: '/', httpOnly: true, secure: true, sameSite: 'Strict' };
    expect(await visitor.context.cookies()).toEqual([
      expect.objectContaining({ ...rules, name: '__Host-keyturn' }),
      expect.objectContaining({ ...rules, name: '__Host-keyturn-refresh' }),
      expect.objectContaining({ ...rules, name: '__Host-keyturn-device' }),
    ]);
    await press(visitor, 'Log out');
    expect([pathOf(visitor), await loginCookies(visitor)]).toEqual(['/login?notice=out', []]);
    expect(complaintsOf(visitor)).toEqual([]);
  });
});
