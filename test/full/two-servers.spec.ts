import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { beginLogin, claimsOf, kidOf, logIn, me, ready, revoke, rotate, send } from './support/client.js';
import { endAll, settingsFor, startKeyturn, type Keyturn } from './support/keyturn.js';
import { distribution, kindOf, say } from './support/load.js';
import { eventually, pause } from './support/wait.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

// Processes start, and receipts wait for servers to follow.
jest.setTimeout(60_000);

let database: TestDatabase;
let servers: readonly [Keyturn, Keyturn];
let app: Client;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  const first = await startKeyturn(settingsFor(database));
  servers = [first, await startKeyturn(settingsFor(database))];
});

afterEach(async () => {
  await Promise.all([...traffics].map((traffic) => traffic.stop()));
});

afterAll(async () => {
  await endAll();
  await database?.drop();
});

const both = async <T>(ask: (server: Keyturn) => Promise<T>): Promise<T[]> => Promise.all(servers.map(ask));
/** A server makes a new one as soon as it hears that the last one took over. */
const aStandby = (): Promise<boolean> =>
  eventually('a standby', async () => {
    const { rows } = await app.query(
      'SELECT FROM keyturn.signing_keys WHERE signs AND revoked_at IS NULL AND activates_at > keyturn.clock()',
    );
    return rows.length === 1;
  });

/** Two polls, and a machine that has other things to do. */
const soon = { withinMs: 2_000 } as const;

/** Traffic that a test which failed has left. */
const traffics = new Set<Traffic>();

/** Asks both servers all the time, with whatever tokens there are, and collects every answer that is not 200. */
class Traffic {
  private readonly refusals: string[] = [];
  private readonly tokens: string[] = [];
  private running = true;
  private readonly loops: Promise<void>[];
  answers = 0;

  constructor() {
    traffics.add(this);
    this.loops = servers.map((server) => this.ask(server));
  }

  add(token: string): void {
    this.tokens.push(token);
  }

  async stop(): Promise<readonly string[]> {
    traffics.delete(this);
    this.running = false;
    await Promise.all(this.loops);
    return this.refusals;
  }

  private async ask(server: Keyturn): Promise<void> {
    while (this.running) {
      const token = this.tokens[this.answers % Math.max(1, this.tokens.length)];
      if (token === undefined) {
        await pause(1);
        continue;
      }
      const answer = await me(server.url, token);
      this.answers += 1;
      if (answer.status !== 200) this.refusals.push(`${kidOf(token)}: ${kindOf(answer)}`);
    }
  }
}

describe('two servers over one database', () => {
  it('refuse no good token while keys are rotated by force in the middle of traffic', async () => {
    const traffic = new Traffic();
    const kids = new Set<string>();
    for (let round = 0; round < 6; round++) {
      const { access_token: token } = await logIn(servers[round % 2 === 0 ? 0 : 1].url);
      traffic.add(token);
      kids.add(kidOf(token));
      await aStandby();
      expect((await rotate(servers[1].url, token, { force: true })).status).toBe(200);
    }
    expect(await traffic.stop()).toEqual([]);
    expect(kids.size).toBe(6);
    say(`${traffic.answers} requests in the middle of 6 forced rotations, none refused`);
  });

  it('refuse no token of another key when the active one is revoked and the standby takes over', async () => {
    const older = (await logIn(servers[0].url)).access_token;
    await aStandby();
    expect((await rotate(servers[0].url, older, { force: true })).status).toBe(200);
    const young = (await logIn(servers[1].url)).access_token;
    await aStandby();
    const traffic = new Traffic();
    traffic.add(older);
    expect((await revoke(servers[0].url, older, kidOf(young))).status).toBe(200);
    const emergency = (await logIn(servers[1].url)).access_token;
    traffic.add(emergency);
    await both((server) =>
      eventually('the emergency key on both', async () => (await ready(server.url)).signer === kidOf(emergency)),
    );
    expect(await traffic.stop()).toEqual([]);
    const { rows } = await app.query<{ activation: string }>(
      'SELECT activation FROM keyturn.signing_keys WHERE kid = $1',
      [kidOf(emergency)],
    );
    expect(rows).toEqual([{ activation: 'emergency' }]);
  });

  it('both refuse a token of a revoked key within the second', async () => {
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      const token = (await logIn(servers[0].url)).access_token;
      await both(async (server) => expect((await me(server.url, token)).status).toBe(200));
      const old = (await logIn(servers[0].url)).access_token;
      await aStandby();
      const begun = performance.now();
      const revoking = revoke(servers[0].url, old, kidOf(token));
      await both((server) =>
        eventually('a refusal', async () => (await me(server.url, token)).status === 401, { everyMs: 10 }),
      );
      times.push(performance.now() - begun);
      expect((await revoking).status).toBe(200);
    }
    say(`a revoked key refused on both servers after: ${distribution(times)}`);
    // Of one round a busy machine may make more.
    expect(times.toSorted((a, b) => a - b)[2]).toBeLessThan(1_000);
  });

  it('both refuse a token whose session one of them has ended', async () => {
    const token = (await logIn(servers[0].url)).access_token;
    await both(async (server) => expect((await me(server.url, token)).status).toBe(200));
    expect((await send(`${servers[0].url}/auth/logout`, { token, method: 'POST' })).status).toBe(204);
    await both((server) => eventually('a refusal', async () => (await me(server.url, token)).status === 401, soon));
  });

  it('obey and heal a revocation typed in psql', async () => {
    const token = (await logIn(servers[1].url)).access_token;
    await aStandby();
    const superuser = await database.connect('superuser');
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'typed by hand' WHERE kid = $1`,
      [kidOf(token)],
    );
    await both((server) => eventually('a refusal', async () => (await me(server.url, token)).status === 401, soon));
    await aStandby();
    const { rows } = await app.query<{ event: string }>(
      `SELECT event FROM keyturn.audit_log WHERE entry LIKE '%typed by hand%' ORDER BY seq`,
    );
    expect(rows[0]).toEqual({ event: 'revoked' });
  });

  it('accept no token of a session that was ended in the database, however well it is signed', async () => {
    const genuine = (await logIn(servers[0].url)).access_token;
    await app.query(`UPDATE keyturn.sessions SET ended_at = now(), end_reason = 'logout' WHERE id = $1`, [
      claimsOf(genuine).sid,
    ]);
    await both((server) => eventually('a refusal', async () => (await me(server.url, genuine)).status === 401, soon));
  });

  it('finish what is under way when one is told to stop, resetting nothing, and leave no process', async () => {
    const [first, second] = servers;
    const token = (await logIn(first.url)).access_token;
    const underWay = await Promise.all(Array.from({ length: 8 }, () => beginLogin(second.url)));
    const ended = second.stop('SIGTERM');
    await eventually('nobody else let in', async () => (await me(second.url, token)).failure?.includes('ECONNREFUSED'));

    const answers = await Promise.all(underWay.map(async (finish) => finish()));

    expect(answers.map(kindOf)).toEqual(underWay.map(() => '200'));
    expect((await ended).code).toBe(0);
    expect((await me(first.url, token)).status).toBe(200);
  });
});
