import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exchange } from '../support/raw-http.js';
import { Tally } from '../../src/common/tally.js';
import { PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let server: TestApp;
let secure: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  secure = await startTestApp({ database, settings: { KEK: server.kek, ISSUER: 'https://login.example.com' } });
});
afterAll(async () => {
  await secure?.close();
  await server?.close();
  await database?.drop();
});

const asked = async (app: TestApp): Promise<readonly Answer[]> =>
  Promise.all(
    ['/', '/login', '/auth/me', '/nothing', '/.well-known/jwks.json', '/health/live'].map((path) => app.ask(path)),
  );

describe('every answer', () => {
  it('guards itself in a browser, and says nothing of what made it', async () => {
    for (const { headers } of await asked(server)) {
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      const isPage = headers.get('content-type')?.startsWith('text/html');
      expect(headers.get('referrer-policy')).toBe(isPage ? 'same-origin' : 'no-referrer');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      for (const name of ['server', 'x-powered-by', 'via']) expect(headers.get(name)).toBeNull();
    }
  });

  it('asks for https alone, for a year, where the issuer is https, and nowhere else', async () => {
    const said = async (app: TestApp) =>
      new Set((await asked(app)).map(({ headers }) => headers.get('strict-transport-security')));

    expect(await said(secure)).toEqual(new Set(['max-age=31536000; includeSubDomains']));
    expect(await said(server)).toEqual(new Set([null]));
  });
});

it('behind https, nobody is led from one name to another: the proxy in front knows which is ours', async () => {
  for (const host of ['localhost', `localhost:${new URL(secure.url).port}`, 'login.example.com']) {
    const asked = `GET /login HTTP/1.1\r\nhost: ${host}\r\naccept: text/html\r\nconnection: close\r\n\r\n`;
    expect(await exchange(secure.url, asked)).toMatch(/^HTTP\/1\.1 200 /);
  }
});

describe('a request of HTTP/1.1', () => {
  const asked = async (...hosts: readonly string[]): Promise<string> =>
    await exchange(server.url, ['GET /health/live HTTP/1.1', ...hosts, 'connection: close', '', ''].join('\r\n'));

  it.each([[[]], [['host: 127.0.0.1', 'Host: login.example.com']], [['host: a', 'host: a']]])(
    'that does not name one host is refused: %j',
    async (hosts) => {
      const answer = await asked(...hosts);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer).toMatch(/application\/problem\+json[^]*"code":"invalid_request"/);
    },
  );

  it('that names another host in its first line is refused', async () => {
    for (const target of ['http://login.example.com/health/live', 'http://127.0.0.1/health/live']) {
      const answer = await exchange(
        server.url,
        `GET ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 400 [^]*"code":"invalid_request"/);
    }
  });

  it('that names one is answered, and so is one of HTTP/1.0 that names none', async () => {
    expect(await asked('host: 127.0.0.1')).toMatch(/^HTTP\/1\.1 200 /);
    expect(await exchange(server.url, 'GET /health/live HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('a path that cannot be decoded', () => {
  it.each(['/%ff', '/%', '/users/%zz', '/users/%C0%AF', '/account/%E0%A4%A'])(
    '%s is refused like everything else, and not repeated',
    async (path) => {
      const before = server.app.get(Tally).of('problems').get('invalid_request') ?? 0;
      const { status, headers, body } = await server.ask(path);

      expect([status, headers.get('content-type')?.split(';')[0]]).toEqual([400, 'application/problem+json']);
      expect(body).toEqual({
        type: 'about:blank',
        title: 'Bad Request',
        status: 400,
        code: 'invalid_request',
        detail: 'The request cannot be understood.',
        requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(server.app.get(Tally).of('problems').get('invalid_request')).toBe(before + 1);
      expect((await secure.ask(path)).headers.get('strict-transport-security')).toContain('max-age=');
    },
  );

  it('is a page for a person', async () => {
    const { status, headers, body } = await server.ask('/%ff', { headers: { accept: 'text/html' } });

    expect([status, headers.get('content-type')]).toEqual([400, 'text/html; charset=utf-8']);
    expect(String(body)).not.toContain('%ff');
  });
});

it('a path as long as headers may be is looked at like a short one', async () => {
  await server.createUser({ username: 'root', roles: ['admin'] });
  const { access_token: token } = await server.login('root', PASSWORD);

  for (const length of [100, 300, 8_000]) {
    const { status, body } = await server.ask(`/users/${'a'.repeat(length)}`, { token });
    expect([status, body]).toMatchObject([400, { code: 'validation_failed' }]);
    expect(JSON.stringify(body)).not.toContain('aaaa');
    expect((await server.ask(`/${'a'.repeat(length)}`)).status).toBe(404);
  }
});

describe('what is kept by a cache', () => {
  it('is what says so, and nothing that is guarded', async () => {
    const token = (await server.login('root', PASSWORD)).access_token;
    for (const path of ['/keys', '/keys/plan', '/auth/me', '/auth/sessions', '/users', '/history', '/nothing'])
      expect([path, (await server.ask(path, { token })).headers.get('cache-control')]).toEqual([path, 'no-store']);
    for (const path of ['/.well-known/jwks.json', '/console.css', '/docs/swagger-ui.css'])
      expect([path, (await server.ask(path)).headers.get('cache-control')]).toEqual([
        path,
        expect.stringMatching(/^public/),
      ]);
  });
});

describe('the API page', () => {
  it('has the files that it is made of', async () => {
    const { body } = await server.ask('/docs');
    const files = [...String(body).matchAll(/(?:src|href)="\.\/(docs\/[^"]+)"/g)].map(([, file]) => `/${file}`);
    expect(files).toContain('/docs/swagger-ui-bundle.js');
    for (const file of files) expect([file, (await server.ask(file)).status]).toEqual([file, 200]);
  });

  it('serves nothing else of their package', async () => {
    for (const path of [
      ...['/docs/package.json', '/docs/%70ackage.json', '/docs/README.md', '/docs/swagger-ui.js.map', '/docs/LICENSE'],
      ...['/docs-yaml', '/docs-json', '/docs/..%2fpackage.json', '/docs/oauth2-redirect.html'],
    ]) {
      const { status, body } = await server.ask(path);
      expect([path, status, body]).toEqual([path, 404, expect.objectContaining({ code: 'not_found' })]);
    }
  });
});

describe('a request that takes its time', () => {
  it('has 10 seconds for its headers and 30 for all of it', () => {
    const { headersTimeout, requestTimeout } = server.app.getHttpServer();

    expect([headersTimeout, requestTimeout]).toEqual([10_000, 30_000]);
  });

  it('is told so when they are over, and the connection ends', async () => {
    const http = server.app.getHttpServer();
    // Node looks for late ones every 30 seconds; here one is said to be late at once.
    http.once('connection', (socket: Socket) =>
      http.emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket),
    );

    const answer = await exchange(server.url, 'POST /auth/login HTTP/1.1\r\nhost: x\r\n');

    expect(answer).toMatch(/^HTTP\/1\.1 408 .*"code":"request_timeout"/s);
  });
});
