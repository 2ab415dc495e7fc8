import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ClientBase } from 'pg';
import { z } from 'zod';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { inWords, kidOf, logIn, me, ready, revoke, rotate, type Answer } from './support/client.js';
import { endAll, settingsFor, startKeyturn, type Keyturn } from './support/keyturn.js';
import { distribution, kindOf, say } from './support/load.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { eventually, pause } from './support/wait.js';

jest.setTimeout(180_000);

const ROUNDS = 20;
const OFFLINE_LIMIT_MS = 6_000;
const POLL_MS = 500;

const receiptSchema = z.object({
  revoked: z.string(),
  at: z.iso.datetime(),
  replicas: z.object({
    live: z.int(),
    following: z.int(),
    silent: z.array(z.object({ id: z.uuid(), verifiesAtMostUntil: z.iso.datetime() })),
  }),
});
type Receipt = z.output<typeof receiptSchema>;

let database: TestDatabase;
let db: ClientBase;
let proxy: TcpProxy;
let one: Keyturn;
let other: Keyturn;
/** The `replicas` row of the server behind the proxy. */
let otherId: string;
beforeAll(async () => {
  database = await createTestDatabase();
  db = await database.connect('superuser');
  proxy = await TcpProxy.before(database.urls.app);
  const settings = settingsFor(database, {
    KEY_POLL_INTERVAL: `${POLL_MS}ms`,
    KEY_REFRESH_BOUND: '2s',
    KEY_OFFLINE_LIMIT: `${OFFLINE_LIMIT_MS}ms`,
  });
  one = await startKeyturn(settings);
  const first = await replicas();
  other = await startKeyturn({ ...settings, DATABASE_URL: proxy.through(database.urls.app) });
  otherId = (await replicas()).find(({ id }) => id !== first[0]?.id)?.id ?? '';
});
afterAll(async () => {
  await endAll();
  await proxy?.end();
  await database?.drop();
});

async function replicas(): Promise<{ id: string; age: number }[]> {
  const { rows } = await db.query<{ id: string; age: number }>(
    'SELECT id, (extract(epoch FROM keyturn.clock() - last_seen_at) * 1000)::float8 AS age FROM keyturn.replicas',
  );
  return rows;
}

/** A token that both servers know the session of, and another under the key that took over from its key. */
async function beforeAndAfterRotation(): Promise<{ old: string; young: string }> {
  await eventually('a standby that both servers know', async () => {
    const [here, there] = await Promise.all([ready(one.url), ready(other.url)]);
    return here.standby !== null && here.generation === there.generation;
  });
  const { access_token: old } = await logIn(one.url);
  expect(inWords(await me(other.url, old))).toMatch(/^200 /);
  expect(inWords(await rotate(one.url, old, { force: true }))).toMatch(/^200 /);
  const { access_token: young } = await logIn(one.url);
  expect(kidOf(young)).not.toBe(kidOf(old));
  expect(inWords(await me(other.url, young))).toMatch(/^200 /);
  return { old, young };
}

interface Asked {
  /** When it was asked and when the answer came, milliseconds since 1970: the database is on this machine. */
  readonly askedAt: number;
  readonly at: number;
  readonly answer: Answer;
}

/** Asks every 10 ms until the status is another one. */
async function whileAnswered(url: string, token: string, status: number): Promise<Asked[]> {
  const asked: Asked[] = [];
  for (;;) {
    const askedAt = Date.now();
    const answer = await me(url, token);
    asked.push({ askedAt, at: Date.now(), answer });
    if (answer.status !== status) return asked;
    await pause(10);
  }
}

/** Such as `200` or `401 invalid_token`. */
const said = ({ answer }: Asked): string => kindOf(answer);

async function revokedBy(token: string, kid: string): Promise<Receipt> {
  const answer = await revoke(one.url, token, kid);
  expect(inWords(answer)).toMatch(/^200 /);
  return receiptSchema.parse(answer.body);
}

it('a revocation is followed by a second process', async () => {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { old, young } = await beforeAndAfterRotation();
    // Anywhere between two polls of the other.
    await pause((round * POLL_MS) / ROUNDS);
    const refused = whileAnswered(other.url, old, 200);
    const receipt = await revokedBy(young, kidOf(old));
    const last = (await refused).at(-1);
    expect(last && said(last)).toBe('401 invalid_token');
    expect(receipt.replicas).toMatchObject({ live: 2, following: 2, silent: [] });
    expect((await me(one.url, old)).status).toBe(401);
    for (const { url } of [one, other]) expect((await me(url, young)).status).toBe(200);
    times.push((last?.at ?? Infinity) - Date.parse(receipt.at));
  }
  say(`Until the second process refuses: ${distribution(times)} (poll ${POLL_MS} ms)`);
});

describe('a server that is cut off from the database while a key is revoked', () => {
  let receipt: Receipt;
  let cutAt: number;
  let ofRevoked: Asked[];
  let ofGood: Asked[];
  let afterReturn: Asked[];
  beforeAll(async () => {
    const { old, young } = await beforeAndAfterRotation();
    // Its heartbeat lies some seconds back, and it polls on: what the receipt says must hold all the same.
    await eventually('a heartbeat of three seconds ago', async () =>
      (await replicas()).some(({ id, age }) => id === otherId && age > 3_000 && age < 4_500),
    );
    await proxy.refuse();
    cutAt = Date.now();
    const asking = Promise.all([whileAnswered(other.url, old, 200), whileAnswered(other.url, young, 200)]);
    receipt = await revokedBy(young, kidOf(old));
    [ofRevoked, ofGood] = await asking;
    const returned = Promise.all([whileAnswered(other.url, old, 503), whileAnswered(other.url, young, 503)]);
    await proxy.forward();
    afterReturn = (await returned).flatMap((asked) => asked.slice(-1));
  });

  it('goes on verifying for its offline limit, then answers 503, and calls no good token bad', () => {
    for (const asked of [ofRevoked, ofGood]) {
      const [end] = asked.slice(-1);
      if (!end) throw new Error('nothing was asked');
      expect(said(end)).toBe('503 keys_unavailable');
      expect(end.answer.headers['retry-after']).toBeDefined();
      expect(new Set(asked.slice(0, -1).map(said))).toEqual(new Set(['200']));
      say(`cut off, it verified for ${end.at - cutAt} ms; offline limit ${OFFLINE_LIMIT_MS} ms`);
    }
  });

  it('is named by the receipt, with a time after which it accepts the revoked key no more', () => {
    expect(receipt.replicas).toMatchObject({ live: 2, following: 1, silent: [{ id: otherId }] });
    const bound = Date.parse(receipt.replicas.silent[0]?.verifiesAtMostUntil ?? '');
    const lastGood = ofRevoked.at(-2)?.askedAt ?? Infinity;
    say(`the last token of the revoked key was accepted ${bound - lastGood} ms before the receipt's bound`);
    expect(lastGood).toBeLessThanOrEqual(bound);
  });

  it('when it is back, accepts good tokens and never again one of the revoked key', () => {
    expect(afterReturn.map(said)).toEqual(['401 invalid_token', '200']);
  });
});

describe('a server that has been cut off for longer than a heartbeat when a key is revoked', () => {
  const LIMIT_MS = 40_000;

  it('still verifies with it, and is named by the receipt until it does not; one that was shut down in order is not', async () => {
    const apart = await createTestDatabase();
    const path = await TcpProxy.before(apart.urls.app);
    try {
      const settings = settingsFor(apart, { KEY_REFRESH_BOUND: '2s', KEY_OFFLINE_LIMIT: `${LIMIT_MS}ms` });
      const [here, there, gone] = [
        await startKeyturn(settings),
        await startKeyturn({ ...settings, DATABASE_URL: path.through(apart.urls.app) }),
        await startKeyturn(settings),
      ];
      const { access_token: old } = await logIn(here.url);
      expect((await me(there.url, old)).status).toBe(200);
      expect((await gone.stop()).code).toBe(0);
      await path.refuse();
      const superuser = await apart.connect('superuser');
      await eventually(
        'a server silent for 15 seconds',
        async () => {
          const { rowCount } = await superuser.query(
            `SELECT FROM keyturn.replicas WHERE last_seen_at < keyturn.clock() - interval '15 seconds'`,
          );
          return rowCount === 1;
        },
        { withinMs: 30_000 },
      );
      const answer = await revoke(here.url, old, kidOf(old));
      expect(inWords(answer)).toMatch(/^200 /);
      const { replicas: reached } = receiptSchema.parse(answer.body);
      expect((await me(there.url, old)).status).toBe(200);
      expect(reached).toMatchObject({ live: 2, following: 1 });
      expect(reached.silent).toHaveLength(1);
      const accepted = (await whileAnswered(there.url, old, 200)).at(-2)?.askedAt ?? Infinity;
      expect(accepted).toBeLessThanOrEqual(Date.parse(reached.silent[0]?.verifiesAtMostUntil ?? ''));
    } finally {
      await endAll();
      await path.end();
      await apart.drop();
    }
  });
});
