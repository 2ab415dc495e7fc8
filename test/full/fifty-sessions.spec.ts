import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { KeyturnError } from '../../src/common/errors.js';
import { ownFinding, sqlFinding } from '../audit/story.js';
import {
  brokenLinks,
  foldedKeys,
  foldedUsers,
  history,
  keysAsTheyAre,
  usersAsTheyAre,
  type HistoryRow,
} from '../support/history.js';
import { PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addSession } from '../support/users.js';
import { ringFaults } from './support/ring-facts.js';

jest.setTimeout(300_000);

const PEOPLE = 10;
const ROUNDS = 6;

let database: TestDatabase;
let servers: readonly TestApp[];
let superuser: Client;
const people: string[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  const settings = {
    KEY_ALGORITHM: 'ES256',
    KEY_POLL_INTERVAL: '100ms',
    LOGIN_ATTEMPTS: '100000',
    DATABASE_TIMEOUT: '60s',
  } as const;
  const first = await startTestApp({ database, settings });
  servers = [first, await startTestApp({ database, settings: { ...settings, KEK: first.kek } })];
  await first.createUser({ username: 'root', roles: ['admin'] });
  for (let n = 0; n < PEOPLE; n += 1) people.push((await first.createUser({ username: `person${n}` })).id);
});
afterAll(async () => {
  await Promise.all((servers ?? []).map(async (server) => await server.close()));
  await database?.drop();
});

type Turn = (round: number) => Promise<unknown>;
const person = (n: number): string => people[n % PEOPLE] ?? '';

/** Twenty who ask servers, as administrators and as people do. */
async function atTheServers(): Promise<Turn[]> {
  const turns = await Promise.all(
    Array.from({ length: 20 }, async (_, index): Promise<Turn> => {
      const server = servers[index % servers.length];
      if (!server) throw new Error('no server');
      const { access_token: token, refresh_token: refresh } = await server.login('root');
      const ask = async (path: string, json: unknown): Promise<Answer> => await server.ask(path, { token, json });
      const acts: readonly Turn[] = [
        async (round) => await ask('/keys/rotate', { force: true, reason: `round ${round}` }),
        async () => await ask('/keys/replace-standby', { reason: 'another' }),
        async (round) => await ask(`/users/${person(index + round)}/disable`, {}),
        async (round) => await ask(`/users/${person(index + round)}/enable`, {}),
        async (round) =>
          await server.ask(`/users/${person(round)}`, { token, method: 'PATCH', json: { roles: [`role${index}`] } }),
        async (round) => await ask('/users', { username: `made-${index}-${round}`, roles: [] }),
        async (round) => await ask('/auth/login', { username: `person${round}`, password: PASSWORD }),
        async () => await server.refresh(refresh),
        async (round) => await server.ask(`/users/${person(index + round)}/sessions`, { token, method: 'DELETE' }),
        async () => await server.tick(),
      ];
      return acts[index % acts.length] ?? (async () => undefined);
    }),
  );
  return turns;
}

/** Thirty who type SQL, each on a connection of their own, as the server's role and as the owner. */
async function atPsql(): Promise<Turn[]> {
  const ids = people;
  return await Promise.all(
    Array.from({ length: 30 }, async (_, index): Promise<Turn> => {
      const client = await database.connect(index % 2 ? 'owner' : 'app');
      // Fifty wait for one lock: on a slow machine the last of them longer than a server would let them.
      await client.query(`SET statement_timeout = '60s'; SET lock_timeout = '60s'`);
      const acts: readonly Turn[] = [
        // In this order and in the other: locks taken row by row would meet crosswise.
        async () =>
          await client.query(`UPDATE keyturn.users SET roles = ARRAY['by-hand-' || $1::text] WHERE id = ANY ($2)`, [
            index,
            index % 4 ? ids : ids.toReversed(),
          ]),
        async () =>
          await client.query(
            `UPDATE keyturn.signing_keys SET activates_at = activates_at + interval '1 second' WHERE activates_at > keyturn.clock() + interval '2 hours' AND revoked_at IS NULL`,
          ),
        async (round) => {
          await client.query('BEGIN');
          await client.query(`SELECT set_config('keyturn.reason', 'by hand', true)`);
          await client.query('UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE id = $1', [
            person(index + round),
          ]);
          await client.query('UPDATE keyturn.users SET disabled_at = NULL WHERE id = $1', [person(index + round + 1)]);
          await client.query(round % 2 ? 'ROLLBACK' : 'COMMIT');
        },
        async (round) =>
          await client.query('INSERT INTO keyturn.users (username) VALUES ($1)', [`typed-${index}-${round}`]),
        async () => {
          await addSession(client, person(index));
          await client.query(
            `UPDATE keyturn.sessions SET ended_at = keyturn.clock(), end_reason = 'administrator' WHERE user_id = $1 AND ended_at IS NULL`,
            [person(index)],
          );
        },
        async (round) =>
          round === 3 &&
          (await client.query(
            `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'typed by hand'
             WHERE version = (SELECT min(version) FROM keyturn.signing_keys WHERE revoked_at IS NULL) AND revoked_at IS NULL`,
          )),
      ];
      return acts[index % acts.length] ?? (async () => undefined);
    }),
  );
}

/** Answers that were neither done nor politely refused; what was thrown, in words. */
function faults(outcomes: readonly PromiseSettledResult<unknown>[]): string[] {
  return outcomes.flatMap((outcome) => {
    if (outcome.status === 'rejected') {
      // A server may find a key that it has not loaded yet, and make no other meanwhile.
      const refused: unknown = outcome.reason;
      return refused instanceof KeyturnError && refused.code === 'keys_unavailable' ? [] : [String(refused)];
    }
    const status = statusOf(outcome.value);
    return status !== undefined && status >= 500 ? [JSON.stringify(outcome.value)] : [];
  });
}

/** That Postgres found and broke, since the database was made. */
async function deadlocks(): Promise<number> {
  await superuser.query('SELECT pg_stat_clear_snapshot()');
  const { rows: found } = await superuser.query<{ deadlocks: string }>(
    'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(found[0]?.deadlocks);
}

const statusOf = (value: unknown): number | undefined =>
  typeof value === 'object' && value !== null && 'status' in value ? Number(value.status) : undefined;

describe('fifty sessions that change keys and users at once, through two servers and by hand', () => {
  let outcomes: PromiseSettledResult<unknown>[];
  let rows: HistoryRow[];
  beforeAll(async () => {
    const turns = [...(await atTheServers()), ...(await atPsql())];
    // Each begins its next turn when it has ended the last: nobody waits for the others.
    outcomes = (
      await Promise.all(
        turns.map(async (turn) => {
          const own: PromiseSettledResult<unknown>[] = [];
          for (let round = 0; round < ROUNDS; round += 1) own.push(...(await Promise.allSettled([turn(round)])));
          return own;
        }),
      )
    ).flat();
    rows = await history(superuser);
  });

  it('are all answered: done or refused, none by a deadlock or a failure', async () => {
    expect(outcomes).toHaveLength(50 * ROUNDS);
    expect(faults(outcomes)).toEqual([]);
    expect(await deadlocks()).toBe(0);
  });

  it('leave one chain without gap or fork', () => {
    expect(brokenLinks(rows)).toEqual([]);
    expect(rows.length).toBeGreaterThan(300);
  });

  it('leave keys and users as the chain says', async () => {
    expect([foldedKeys(rows), foldedUsers(rows)]).toEqual([
      await keysAsTheyAre(superuser),
      await usersAsTheyAre(superuser),
    ]);
  });

  it('are in it where they ended sessions of others, once an act', async () => {
    const ended = rows.filter(({ said }) => said.event === 'user_sessions_ended');
    const { rows: found } = await superuser.query<{ count: number }>(
      `SELECT count(*)::integer FROM keyturn.sessions WHERE end_reason IN ('administrator', 'by_hand')`,
    );
    const said = ended.map((row) => Number(row.said.new?.['sessions'])).reduce((sum, each) => sum + each, 0);
    expect([said, ended.length > 0]).toEqual([found[0]?.count, true]);
  });

  it('are in it, whoever they were', () => {
    const who = new Set(rows.map(({ said }) => `${said.session_user} ${said.application_name}`));
    expect([...who]).toEqual(
      expect.arrayContaining([
        'keyturn_app keyturn server',
        'keyturn_app keyturn test',
        'keyturn_migrator keyturn test',
      ]),
    );
  });

  it('leave a ring of one signer and no gap', async () => {
    await servers[0]?.tick();
    expect(await ringFaults(superuser)).toEqual([]);
  });

  it('leave what both verifications find whole', async () => {
    const auditor = await database.connect('auditor');
    expect([await sqlFinding(auditor), await ownFinding(auditor)]).toEqual([undefined, undefined]);
  });
});
