import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { readCheckpoint } from '../../src/audit/checkpoint.js';
import { KeyTick } from '../../src/keys/upkeep/key-tick.js';
import { only } from '../support/signing-keys.js';
import { members, startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';
import { addUser } from '../support/users.js';
import { behindTheTriggers, ownFinding, sqlFinding } from '../audit/story.js';

let database: TestDatabase;
let server: TestApp;
let app: Client;
let auditor: Client;
let superuser: Client;

async function begin(settings: Parameters<typeof startTestApp>[0]['settings'] = {}): Promise<void> {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings });
  app = await database.connect('app');
  auditor = await database.connect('auditor');
  superuser = await database.connect('superuser');
}

async function end(): Promise<void> {
  await server.close();
  await database.drop();
}

const head = async (): Promise<{ seq: number; hash: string }> =>
  only(
    await app.query<{ seq: number; hash: string }>(
      'SELECT seq::integer, hash FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1',
    ),
  );

const stored = async (): Promise<number[]> =>
  (await auditor.query<{ seq: number }>('SELECT seq::integer FROM audit.checkpoints ORDER BY seq')).rows.map(
    (row) => row.seq,
  );

/** What the health says is wrong. */
const problems = async (): Promise<unknown> => members((await server.ask('/health/ready')).body)['problems'];

const lines = (part: string): string[] => server.log.filter((line) => line.includes(part));

describe('the head of history', () => {
  beforeAll(async () => await begin());
  afterAll(end);
  beforeEach(async () => {
    await addUser(app);
    await server.hearNews();
  });

  it('is signed when news of an event arrives', async () => {
    const { body } = await server.ask('/history/checkpoint');
    expect(body).toMatchObject(await head());
  });

  it('is signed over seq, hash and time, with a typ of its own, by the active key', async () => {
    const { jws } = members((await server.ask('/history/checkpoint')).body);
    const [key] = await server.openKeys();
    expect(readToken(String(jws))).toMatchObject({
      header: { alg: 'ES256', kid: key?.kid, typ: 'keyturn-checkpoint+jwt' },
      claims: { ...(await head()), iat: expect.any(Number) },
    });
  });

  it('is signed over nothing else', async () => {
    const { jws } = members((await server.ask('/history/checkpoint')).body);
    expect(Object.keys(readToken(String(jws)).claims).toSorted()).toEqual(['hash', 'iat', 'seq']);
  });

  it('is signed so that both verifications find it good', async () => {
    expect([await sqlFinding(auditor), await ownFinding(auditor)]).toEqual([undefined, undefined]);
  });

  it('is good as a kept copy later on', async () => {
    const { jws } = members((await server.ask('/history/checkpoint')).body);
    const kept = readCheckpoint(String(jws));
    await addUser(app);
    expect([kept?.seq, await ownFinding(auditor, kept ? [kept] : [])]).toEqual([(await head()).seq - 1, undefined]);
  });

  it('is written to the log, by row and hash', async () => {
    const { seq, hash } = await head();
    expect(lines(`row ${seq} with hash ${hash}, signed`)).toHaveLength(1);
  });

  it('is signed once where nothing happens', async () => {
    const before = await stored();
    await server.hearNews();
    expect(await stored()).toEqual(before);
  });

  it('is signed once by two servers that hear of it together', async () => {
    const second = await startTestApp({ database, settings: { KEK: server.kek } });
    await addUser(app);
    await Promise.all([server.hearNews(), second.hearNews()]);
    const answers = [await server.ask('/history/checkpoint'), await second.ask('/history/checkpoint')];
    await second.close();
    expect(answers[0]?.body).toEqual(answers[1]?.body);
  });

  it('is signed at the start of a server for events that happened while none was up', async () => {
    await server.close();
    await addUser(app);
    server = await startTestApp({ database, settings: { KEK: server.kek } });
    expect((await server.ask('/history/checkpoint')).body).toMatchObject(await head());
  });

  it('is no access token', async () => {
    const { jws } = members((await server.ask('/history/checkpoint')).body);
    expect((await server.ask('/keys/history', { token: String(jws) })).status).toBe(401);
  });

  it('raises an alarm, in the log and in the health, where it is not what was signed', async () => {
    expect(await problems()).toEqual([]);
    await behindTheTriggers(
      superuser,
      'DELETE FROM keyturn.audit_log WHERE seq = (SELECT max(seq) FROM keyturn.audit_log)',
    );
    await server.hearNews(); // and every key is revoked, as after a restored backup
    await server.tick();
    await server.hearNews();
    expect(lines('it was rewritten or cut off')).toHaveLength(1);
    expect(await problems()).toEqual([expect.stringContaining('it was rewritten or cut off')]);
    // Nor is it forgotten: by what is signed later, or by a server that starts then.
    await addUser(app);
    await server.hearNews();
    expect((await server.ask('/history/checkpoint')).body).toMatchObject(await head());
    expect(await problems()).toEqual([expect.stringContaining('it was rewritten or cut off')]);
    await server.close();
    server = await startTestApp({ database, settings: { KEK: server.kek } });
    expect(await problems()).toContainEqual(expect.stringContaining('it was rewritten or cut off'));
  });
});

describe('the head of history under an HMAC key', () => {
  beforeAll(async () => await begin({ KEY_ALGORITHM: 'HS256' }));
  afterAll(end);

  it('is logged with a warning and told in the health, not signed', async () => {
    await addUser(app);
    await server.hearNews();
    const { seq, hash } = await head();
    const found = [
      await stored(),
      lines('history is not signed').length,
      lines(`row ${seq} with hash ${hash}, unsigned`).length,
    ];
    expect(found).toEqual([[], 1, 1]);
    expect(await problems()).toEqual([expect.stringMatching(/^History is not signed: 1-\S+ is an HS256 key/)]);
  });

  it('is not served', async () => {
    expect((await server.ask('/history/checkpoint')).status).toBe(404);
  });
});

describe('the head of history while no key is active', () => {
  beforeAll(async () => await begin());
  afterAll(end);

  let making: jest.SpiedFunction<KeyTick['run']>;

  beforeEach(async () => {
    making = jest.spyOn(server.app.get(KeyTick), 'run').mockRejectedValue(new Error('no key can be made'));
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = keyturn.clock(), revocation_reason = 'a test wants no key'`,
    );
    await server.hearNews();
    await server.hearNews();
  });

  it('is logged with a warning and told in the health, and signed when there is one again', async () => {
    const warned = lines('history is not signed: no key is active').length;
    expect(await problems()).toContain('History is not signed: no key is active.');
    making.mockRestore();
    await server.tick();
    await server.hearNews();
    expect([warned, (await stored()).at(-1), await problems()]).toEqual([1, (await head()).seq, []]);
  });
});
