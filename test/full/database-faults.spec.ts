import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { codeIn, inWords, jwks, live, logIn, login, me, ready, refresh, send, type Answer } from './support/client.js';
import {
  endAll,
  runToEnd,
  settingsFor,
  startKeyturn,
  type Ended,
  type Keyturn,
  type Settings,
} from './support/keyturn.js';
import { kindsOf, Load, summary } from './support/load.js';
import { ringFaults } from './support/ring-facts.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { eventually, pause } from './support/wait.js';

jest.setTimeout(90_000);

/** How long an answer may take while the database is gone: the wait for a connection, and then for the statement on it. */
const patience = 6_000;

const recovered = async ({ url }: Keyturn): Promise<Answer> =>
  await eventually(
    'a login again',
    async () => {
      const answer = await login(url);
      return answer.status === 200 && answer;
    },
    { withinMs: 10_000 },
  );

/** 503, in the form of a problem, with a time to come back, and soon. */
function expectNotNow(answer: Answer): void {
  expect(inWords(answer)).toMatch(/^503 /);
  expect(answer.headers['content-type']).toContain('application/problem+json');
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  expect(answer.milliseconds).toBeLessThan(patience);
}

describe('a server whose database fails', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let settings: Settings;
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await TcpProxy.before(database.urls.app);
    settings = settingsFor(database, { DATABASE_URL: proxy.through(database.urls.app) });
  });
  afterEach(async () => {
    await endAll();
    await proxy.forward();
  });
  afterAll(async () => {
    await proxy.end();
    await database.drop();
  });

  const terminateBackends = async (): Promise<void> => {
    const superuser = await database.connect('superuser');
    await superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'keyturn_app'`,
    );
  };

  /** A server, a session that it knows well, and load on both. */
  async function underLoad(more: Settings = {}) {
    const server = await startKeyturn({ ...settings, ...more });
    const { access_token: token } = await logIn(server.url);
    expect((await me(server.url, token)).status).toBe(200);
    const load = new Load(server.url, token);
    await pause(500);
    return { server, token, load };
  }

  async function expectHealthy(server: Keyturn): Promise<void> {
    expect(server.isRunning()).toBe(true);
    expect(server.output()).not.toMatch(/unhandled|uncaught|"stack":|^\s+at /im);
    await eventually('ready without problems', async () => (await ready(server.url)).problems.length === 0);
    expect(await ringFaults(await database.connect('superuser'))).toEqual([]);
    expect((await server.stop()).code).toBe(0);
  }

  it('by ending every connection, again and again, goes on and lets everyone stay logged in', async () => {
    const { server, load } = await underLoad();
    for (let round = 0; round < 5; round += 1) {
      await terminateBackends();
      await pause(300);
    }
    await recovered(server);
    await pause(500);
    const seen = await load.stop();
    summary('connections ended', seen);

    expect(kindsOf(seen, 'guarded')).toEqual(['200']);
    expect(new Set(kindsOf(seen, 'login'))).toEqual(new Set([...kindsOf(seen, 'login'), '200']));
    expect(kindsOf(seen, 'login').filter((kind) => !['200', '503 database_unavailable'].includes(kind))).toEqual([]);
    await expectHealthy(server);
  });

  const outages: readonly (readonly [string, () => Promise<void> | void])[] = [
    ['refusing connections', async () => await proxy.refuse()],
    ['going silent without a reset', () => proxy.stall()],
  ];
  it.each(outages)(
    'by %s verifies on what it knows, says 503 to the rest, and recovers by itself',
    async (title, fail) => {
      const { server, token, load } = await underLoad();
      const unseen = await logIn(server.url);

      await fail();
      await pause(1_000);
      for (const answer of await Promise.all([
        login(server.url),
        refresh(server.url, unseen.refresh_token),
        me(server.url, unseen.access_token),
        send(`${server.url}/auth/logout`, { method: 'POST', token }),
      ])) {
        expectNotNow(answer);
      }
      expect((await live(server.url)).status).toBe(200);
      expect((await ready(server.url)).httpStatus).toBe(200);
      expect((await jwks(server.url)).status).toBe(200);
      await pause(2_000);

      await proxy.forward();
      const back = performance.now();
      await recovered(server);
      const recovery = performance.now() - back;
      expect((await refresh(server.url, unseen.refresh_token)).status).toBe(200);
      const seen = await load.stop();
      summary(`${title}; login again after ${Math.round(recovery)} ms`, seen);

      expect(kindsOf(seen, 'guarded')).toEqual(['200']);
      expect(kindsOf(seen, 'login')).toEqual(['200', '503 database_unavailable']);
      for (const { answer } of seen) if (answer.status === 503) expectNotNow(answer);
      await expectHealthy(server);
    },
  );

  it('by turning read-only begins no session and verifies on, until it takes writes again', async () => {
    const superuser = await database.connect('superuser');
    const { server, load } = await underLoad();

    await superuser.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
    await terminateBackends();
    await eventually('a login that is refused', async () => {
      const answer = await login(server.url);
      return answer.status === 503 && answer;
    });
    const unseen = await login(server.url);
    expectNotNow(unseen);
    await pause(1_000);
    expect((await live(server.url)).status).toBe(200);

    await superuser.query(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`);
    await terminateBackends();
    await recovered(server);
    const seen = await load.stop();
    summary('read-only', seen);

    expect(kindsOf(seen, 'guarded')).toEqual(['200']);
    expect(kindsOf(seen, 'login')).toEqual(['200', '503 database_unavailable']);
    await expectHealthy(server);
  });

  it('for longer than KEY_OFFLINE_LIMIT verifies nothing any more, says 503 and never 401, and comes back', async () => {
    const { server, token, load } = await underLoad({
      KEY_POLL_INTERVAL: '250ms',
      KEY_REFRESH_BOUND: '1s',
      KEY_OFFLINE_LIMIT: '1s',
    });
    await proxy.refuse();
    const cutOff = await eventually('a guarded request that is not judged', async () => {
      const answer = await me(server.url, token);
      return answer.status !== 200 && answer;
    });
    expectNotNow(cutOff);
    expect(codeIn(cutOff)).toBe('keys_unavailable');
    expectNotNow(await jwks(server.url));
    const { httpStatus, problems } = await ready(server.url);
    expect(httpStatus).toBe(503);
    expect(problems.join(' ')).toMatch(/Nothing was heard of the database for \d+ s: tokens are not verified any more/);
    expect((await live(server.url)).status).toBe(200);

    await proxy.forward();
    await eventually('guarded requests again', async () => (await me(server.url, token)).status === 200);
    expect((await jwks(server.url)).status).toBe(200);
    await recovered(server);
    const seen = await load.stop();
    summary('beyond the offline limit', seen);
    expect(kindsOf(seen, 'guarded')).toEqual(['200', '503 keys_unavailable']);
    await expectHealthy(server);
  });
});

async function endingWith(proxy: TcpProxy, settings: Settings): Promise<Ended> {
  try {
    return await runToEnd(settings);
  } finally {
    await proxy.end();
  }
}

describe('a start while the database has no connection to give', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => await endAll());
  afterAll(async () => await database.drop());

  it.each([
    ['not one', 0, 'true'],
    ['not one, with nothing to migrate', 0, 'false'],
    ['one, where migrations need two', 1, 'true'],
  ])('(%s) says so and ends', async (_, limit, migrateOnStart) => {
    const superuser = await database.connect('superuser');
    await superuser.query(`ALTER DATABASE ${database.name} CONNECTION LIMIT ${limit}`);
    const { code, output } = await runToEnd(settingsFor(database, { MIGRATE_ON_START: migrateOnStart }));
    await superuser.query(`ALTER DATABASE ${database.name} CONNECTION LIMIT -1`);
    expect(code).toBe(1);
    expect(output).toMatch(/too many connections/);
    expect(output).toMatch(/max_connections|CONNECTION LIMIT|DATABASE_POOL_SIZE/);
    expect(output).not.toMatch(/^\s+at |"stack":/m);
    expect(output).not.toContain(new URL(database.urls.app).password);
  });

  it('(taken between the first look and the pool) says so and ends', async () => {
    const proxy = await TcpProxy.before(database.urls.app);
    proxy.refuseAfter(1);
    const settings = settingsFor(database, {
      DATABASE_URL: proxy.through(database.urls.app),
      MIGRATE_ON_START: 'false',
    });
    const { code, output } = await endingWith(proxy, settings);
    expect(code).toBe(1);
    expect(output).toMatch(/Postgres/);
    expect(output).not.toMatch(/^\s+at |"stack":/m);
    expect(output).not.toContain(new URL(database.urls.app).password);
  });
});
