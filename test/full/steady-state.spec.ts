import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { forge, readToken } from '../support/tokens.js';

let database: TestDatabase;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  // The poll and the cron are silent here: what is counted comes from requests.
  server = await startTestApp({ database });
  await server.createUser({ username: 'anna' });
  await server.hearNews();
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});
beforeEach(() => {
  server.statements.length = 0;
});

const me = async (token: string): Promise<number> => (await server.ask('/auth/me', { token })).status;
const times = <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)));

describe('the database', () => {
  it('is asked once when a session is seen for the first time, however many ask at once', async () => {
    const { access_token: token } = await server.login('anna');
    server.statements.length = 0;

    expect(new Set(await times(50, () => me(token)))).toEqual(new Set([200]));

    expect(server.statements).toEqual([expect.stringContaining('FROM keyturn.sessions')]);
  });

  it('is asked nothing by two hundred guarded requests after that', async () => {
    const { access_token: token } = await server.login('anna');
    await me(token);
    server.statements.length = 0;

    expect(new Set(await times(200, () => me(token)))).toEqual(new Set([200]));

    expect(server.statements).toEqual([]);
  });

  it('is asked nothing for a fresh token of a session that is known', async () => {
    const pair = await server.login('anna');
    await me(pair.access_token);
    const { body } = await server.refresh(pair.refresh_token);
    server.statements.length = 0;

    expect(await me(String(Reflect.get(Object(body), 'access_token')))).toBe(200);

    expect(server.statements).toEqual([]);
  });

  it('ends by itself what waits too long: every connection says so', async () => {
    for (const [name, value] of Object.entries({
      statement_timeout: '2s',
      lock_timeout: '2s',
      idle_in_transaction_session_timeout: '4s',
    })) {
      expect(await server.app.get(DataSource).query(`SHOW ${name}`)).toEqual([{ [name]: value }]);
    }
  });

  it('is asked nothing by requests for what is public', async () => {
    const paths = [
      '/.well-known/jwks.json',
      '/.well-known/oauth-authorization-server',
      '/health/live',
      '/health/ready',
    ];
    await times(50, (index) => server.ask(paths[index % paths.length] ?? '/'));

    expect(server.statements).toEqual([]);
  });

  it('is asked nothing by tokens that are malformed or forged', async () => {
    const { access_token: token } = await server.login('anna');
    const { header, claims } = readToken(token);
    server.statements.length = 0;

    const forged = await times(100, (index) =>
      me(forge(header, { ...claims, sid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}` }, () => 'AAAA')),
    );
    const malformed = await times(100, (index) => me(`${'a'.repeat(index + 1)}.b.c`));

    expect(new Set([...forged, ...malformed])).toEqual(new Set([401]));
    expect(server.statements).toEqual([]);
  });

  it('loads keys once a second at most under a flood of unknown kids', async () => {
    const { access_token: token } = await server.login('anna');
    const { claims } = readToken(token);
    server.statements.length = 0;
    const begun = performance.now();

    const answers = await times(500, (index) =>
      me(forge({ alg: 'RS256', typ: 'at+jwt', kid: `unknown-${index}` }, claims, () => 'AAAA')),
    );

    const seconds = Math.ceil((performance.now() - begun) / 1_000);
    const loads = server.statements.filter((statement) => statement.includes('key_generation()'));
    expect(new Set(answers)).toEqual(new Set([401]));
    expect(loads.length).toBeGreaterThan(0);
    expect(loads.length).toBeLessThanOrEqual(seconds + 1);
  });

  it('is asked nothing more for an unknown kid that was looked for a moment ago', async () => {
    const { access_token: token } = await server.login('anna');
    const { claims } = readToken(token);
    const unknown = forge({ alg: 'RS256', typ: 'at+jwt', kid: 'unknown' }, claims, () => 'AAAA');
    await me(unknown);
    server.statements.length = 0;

    expect(new Set(await times(100, () => me(unknown)))).toEqual(new Set([401]));

    expect(server.statements).toEqual([]);
  });

  it('serves good tokens during such a flood without waiting for it', async () => {
    const { access_token: token } = await server.login('anna');
    await me(token);
    const { claims } = readToken(token);
    server.statements.length = 0;

    const flood = times(200, (index) =>
      me(forge({ alg: 'RS256', typ: 'at+jwt', kid: `flood-${index}` }, claims, () => 'AAAA')),
    );
    let flooding = true;
    const over = flood.then(() => (flooding = false));
    const good = await times(50, () => me(token));
    const wasFlooding = flooding;
    await over;

    expect(new Set(good)).toEqual(new Set([200]));
    expect(wasFlooding).toBe(true);
  });
});
