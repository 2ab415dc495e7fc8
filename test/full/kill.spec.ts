import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ClientBase } from 'pg';
import { allKeys, only } from '../support/signing-keys.js';
import { seed } from '../support/seed.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import {
  administrator,
  claimsOf,
  inWords,
  kidOf,
  login,
  logIn,
  me,
  pairIn,
  ready,
  refresh,
  rotate,
  type TokenPair,
} from './support/client.js';
import {
  endAll,
  freePort,
  processesWith,
  settingsFor,
  startKeyturn,
  temporaryFolder,
  type Keyturn,
  type Settings,
} from './support/keyturn.js';
import { distribution, say } from './support/load.js';
import { ringFaults, signerAndStandby } from './support/ring-facts.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { eventually, pause } from './support/wait.js';

jest.setTimeout(240_000);

/** Less than the REFRESH_GRACE below. */
const withinGrace = { withinMs: 45_000 } as const;

/** A generator that the printed seed brings back. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function rotateWithoutEnd(server: Keyturn, token: string): Promise<void> {
  while (server.isRunning()) if ((await rotate(server.url, token, { force: true })).status === 0) await pause(5);
}

describe('a server killed without warning', () => {
  let database: TestDatabase;
  let db: ClientBase;
  let settings: Settings;
  const random = randomFrom(seed);
  beforeAll(async () => {
    database = await createTestDatabase();
    db = await database.connect('superuser');
    settings = settingsFor(database, {
      PORT: String(await freePort()),
      KEY_POLL_INTERVAL: '50ms',
      REFRESH_GRACE: '60s',
      LOG_LEVEL: 'warn',
    });
  });
  afterEach(async () => await endAll());
  afterAll(async () => await database.drop());

  /** What the dead server had begun, Postgres ends or undoes by itself. */
  const backendsGone = async (): Promise<unknown> =>
    await eventually('its connections gone', async () => {
      const { rowCount } = await db.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'keyturn_app'`,
      );
      return rowCount === 0;
    });

  it('at a dozen random moments of endless rotations and refreshes leaves a whole ring each time, and everyone logged in', async () => {
    const boots: number[] = [];
    const times: number[] = [];
    let server = await startKeyturn(settings);
    const { access_token: token } = await logIn(server.url);
    const people = await Promise.all(Array.from({ length: 6 }, async () => await logIn(server.url)));
    const answers = people.map(() => 0);
    const ending = new AbortController();
    const keepRefreshing = async (pair: TokenPair, person: number): Promise<TokenPair> => {
      let current = pair;
      while (!ending.signal.aborted) {
        const spent = current.refresh_token;
        current = await eventually(
          'an answer to a refresh',
          async () => {
            const begun = performance.now();
            const answer = await refresh(server.url, spent);
            if (answer.status === 0 || answer.status === 503) return undefined;
            times.push(performance.now() - begun);
            answers[person] = (answers[person] ?? 0) + 1;
            return pairIn(answer);
          },
          withinGrace,
        );
        await pause(random() * 20);
      }
      return current;
    };
    const loops = Promise.all(people.map(keepRefreshing));
    /** Each one has come by since: nobody is kept from the grace by being killed under again and again. */
    const everyoneServed = async (): Promise<void> => {
      const before = [...answers];
      const served = eventually(
        'everyone served',
        () => answers.every((count, at) => count > (before[at] ?? 0)),
        withinGrace,
      );
      await Promise.race([served, loops]);
    };

    for (let kill = 0; kill < 12; kill += 1) {
      await everyoneServed();
      const killed = server.stop.bind(server, 'SIGKILL');
      const rotating = rotateWithoutEnd(server, token);
      await Promise.race([pause(random() * 500), loops]);
      await killed();
      await rotating;
      await backendsGone();
      expect(await ringFaults(db)).toEqual([]);

      const begun = performance.now();
      server = await startKeyturn(settings);
      boots.push(performance.now() - begun);
      expect((await signerAndStandby(db)).standby).not.toBeNull();
      expect(await ringFaults(db)).toEqual([]);
      expect(inWords(await me(server.url, token))).toMatch(/^200 /);
    }
    await everyoneServed();
    ending.abort();
    for (const { access_token: young } of await loops) expect(inWords(await me(server.url, young))).toMatch(/^200 /);
    const { rows } = await db.query(`SELECT end_reason FROM keyturn.sessions WHERE ended_at IS NOT NULL`);
    expect(rows).toEqual([]);
    const versions = (await allKeys(db)).length;
    say(`12 kills, ${versions} versions; start to listening ${distribution(boots)}; refreshes ${distribution(times)}`);
    expect(versions).toBeGreaterThan(3);
  });

  it('after it spent a refresh token and before it could say so: another server gives the same successor', async () => {
    const proxy = await TcpProxy.before(database.urls.app);
    try {
      const doomed = await startKeyturn({ ...settings, PORT: '0', DATABASE_URL: proxy.through(database.urls.app) });
      const other = await startKeyturn(settings);
      const { access_token: token, refresh_token: spent } = await logIn(doomed.url);
      const generation = async (): Promise<unknown> => {
        const sid = claimsOf(token).sid;
        return only(await db.query('SELECT refresh_generation FROM keyturn.sessions WHERE id = $1', [sid]));
      };
      const before = await generation();

      const sent = proxy.withholdAnswerTo('refresh_hash = $4');
      const unanswered = refresh(doomed.url, spent);
      await sent;
      await eventually('the token spent', async () => JSON.stringify(await generation()) !== JSON.stringify(before));
      await doomed.stop('SIGKILL');
      expect(await unanswered).toMatchObject({ status: 0 });
      const after = await generation();

      const [first, second] = [pairIn(await refresh(other.url, spent)), pairIn(await refresh(other.url, spent))];
      expect(second.refresh_token).toBe(first.refresh_token);
      expect(await generation()).toEqual(after);
      expect(inWords(await me(other.url, first.access_token))).toMatch(/^200 /);
      const next = pairIn(await refresh(other.url, first.refresh_token));
      expect(claimsOf(next.access_token).sid).toBe(claimsOf(token).sid);
    } finally {
      await endAll();
      await proxy.end();
    }
  });
});

describe('the embedded database', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let settings: Settings;
  beforeAll(async () => {
    folder = await temporaryFolder();
    settings = {
      KEYTURN_DATA_DIR: join(folder.path, 'data'),
      PORT: String(await freePort()),
      KEYTURN_ADMIN_USERNAME: administrator.username,
      KEYTURN_ADMIN_PASSWORD: administrator.password,
      LOG_LEVEL: 'warn',
    };
  });
  afterEach(async () => {
    await endAll();
    await endOrphans();
  });
  afterAll(async () => await folder.remove());

  const running = async (): Promise<string[]> => await processesWith(folder.path);

  /** Postgres that a failed test has left; by pid, and only what works in our own folder. */
  async function endOrphans(): Promise<void> {
    for (const line of await running()) process.kill(Number(line.trim().split(/\s+/)[0]), 'SIGKILL');
    await eventually('no process left', async () => (await running()).length === 0);
  }

  const noneLeft = async (server: Keyturn): Promise<void> => {
    expect((await server.stop('SIGINT')).code).toBe(0);
    expect(await running()).toEqual([]);
  };

  it('is stopped by Ctrl-C without leaving a process, and its data serve the next start', async () => {
    const first = await startKeyturn({ ...settings, LOG_LEVEL: 'info' });
    // Its output is no terminal: the first screen stands whole and first, lines for machines after it.
    await eventually('a log', () => first.output().includes('{"level":30'));
    expect(first.output()).toMatch(/^( {2}.*\n)+ {2}app http.*\n\{"level":30/);
    const { access_token: token } = await logIn(first.url);
    expect((await running()).length).toBeGreaterThan(0);
    await noneLeft(first);

    const second = await startKeyturn(settings);
    expect(second.output()).toMatch(/migrations \d+, 0 applied now/);
    expect((await me(second.url, token)).status).toBe(200);
    expect(kidOf((await logIn(second.url)).access_token)).toBe(kidOf(token));
    await noneLeft(second);
  });

  it('that a killed server has left running is taken over by the next start', async () => {
    const first = await startKeyturn(settings);
    const { access_token: token } = await logIn(first.url);
    await first.stop('SIGKILL');
    expect((await running()).length).toBeGreaterThan(0);

    const second = await startKeyturn(settings);
    expect(second.output()).toMatch(/taking over the PostgreSQL server \(pid \d+\)/);
    expect((await me(second.url, token)).status).toBe(200);
    expect((await login(second.url)).status).toBe(200);
    await noneLeft(second);
  });

  it('serves two that start at once in the same new folder, and ends with them', async () => {
    // Two ports, one issuer: whoever is asked knows the other's tokens.
    const both = { ...settings, KEYTURN_DATA_DIR: join(folder.path, 'both'), ISSUER: 'http://keyturn.test', PORT: '0' };
    const servers = await Promise.all([startKeyturn(both), startKeyturn(both)]);
    for (const { url } of servers) {
      const { access_token: token } = await logIn(url);
      for (const other of servers) expect((await me(other.url, token)).status).toBe(200);
      expect((await ready(url)).problems).toEqual([]);
    }
    await Promise.all(servers.map(async (server) => await server.stop('SIGINT')));
    await eventually('no process left', async () => (await running()).length === 0);
    expect(servers.map((server) => server.isRunning())).toEqual([false, false]);
  });

  it('ended by Ctrl-C in the middle of a start leaves no process either', async () => {
    const random = randomFrom(seed);
    for (let round = 0; round < 3; round += 1) {
      const moment = 200 + random() * 800;
      const starting = startKeyturn({ ...settings, PORT: '0' }).catch(() => undefined);
      await pause(moment);
      await endAll('SIGINT');
      await starting;
      await eventually(`no process left after SIGINT at ${Math.round(moment)} ms`, async () => {
        return (await running()).length === 0;
      });
    }
  });
});
