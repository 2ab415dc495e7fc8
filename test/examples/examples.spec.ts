import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApp, tokenPair, type TestApp, type TestTokenPair } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { ReportsModule as ReadmeModule } from './readme/reports.controller.js';
import { ReportsModule } from './reports/reports.module.js';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

describe.each([
  ['README.md', '../../README.md', ['./readme/reports.controller.ts'], ReadmeModule],
  [
    'docs/guarding-routes.md',
    '../../docs/guarding-routes.md',
    ['./reports/reports.controller.ts', './reports/reports.module.ts'],
    ReportsModule,
  ],
] as const)('the feature module of %s', (_page, page, files, feature) => {
  let database: TestDatabase;
  let server: TestApp;
  let hr: TestTokenPair;
  let clerk: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    server = await startTestApp({ database, features: [feature] });
    await server.createUser({ username: `hanna-${page}`, roles: ['hr'] });
    await server.createUser({ username: `carl-${page}` });
    hr = await server.login(`hanna-${page}`);
    clerk = (await server.login(`carl-${page}`)).access_token;
  });
  afterAll(async () => {
    await server?.close();
    await database?.drop();
  });
  const status = async (path: string, token?: string, json?: unknown): Promise<number> =>
    (await server.ask(path, { ...(token !== undefined && { token }), ...(json !== undefined && { json }) })).status;

  it('is the code that runs here', () => {
    for (const file of files) expect(read(page)).toContain(`\`\`\`ts\n${read(file)}\`\`\``);
  });

  it('is guarded as its comments say', async () => {
    expect(await Promise.all([status('/reports'), status('/reports', clerk)])).toEqual([401, 200]);
    expect(await Promise.all([status('/reports/payroll', clerk), status('/reports/payroll', hr.access_token)])).toEqual(
      [403, 200],
    );
    expect(await status('/reports/about')).toBe(200);
  });

  it('appears in the API description, with what its guard answers', async () => {
    expect((await server.ask('/docs/openapi.json')).body).toMatchObject({
      paths: {
        '/reports': { get: { security: [{ bearer: [] }, { cookie: [] }], responses: { 200: {}, 401: {} } } },
        '/reports/payroll': { get: { responses: { 403: {} } } },
      },
    });
  });

  if (feature === ReportsModule) {
    it('takes the bodies that it names, and wants a fresh login where it says so', async () => {
      expect(await status('/reports/notes', clerk, { text: 'late' })).toBe(204);
      expect(await status('/reports/notes', clerk, { text: 'late', by: 'somebody' })).toBe(400);
      expect(await status('/reports/payroll/close', hr.access_token, {})).toBe(204);

      await database.moveClock(16 * 60_000);
      await server.hearNews();
      const { access_token: later } = tokenPair(await server.refresh(hr.refresh_token));

      expect(await status('/reports/payroll', later)).toBe(200);
      expect(await server.ask('/reports/payroll/close', { token: later, json: {} })).toMatchObject({
        status: 401,
        body: { code: 'fresh_login_required' },
      });
    });
  }
});
