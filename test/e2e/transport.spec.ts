import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exchange } from '../support/raw-http.js';
import { startTestApp, type Answer, type TestApp } from '../support/test-app.js';
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
      expect(headers.get('referrer-policy')).toBe('no-referrer');
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
