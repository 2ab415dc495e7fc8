import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { SYSTEM } from '../../../src/database/change.js';
import { KeyReplacement } from '../../../src/keys/operations/key-replacement.js';
import { KeyResealing } from '../../../src/keys/operations/key-resealing.js';
import { KeyRing } from '../../../src/keys/ring/key-ring.js';
import { KeyEncryptionKeys } from '../../../src/keys/vault/key-encryption-keys.js';
import { decodeProtectedHeader } from 'jose';
import { startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';

let database: TestDatabase;
let server: TestApp;
let token: string;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'RS256' } });
  await server.createUser({ username: 'anna', roles: ['admin'] });
  token = (await server.login('anna')).access_token;
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const replacement = z.object({ displaced: z.string().nullable(), standby: z.string(), takesOverAt: z.iso.datetime() });
const post = (path: string, json: unknown) => server.ask(path, { token, json });
const ring = (): KeyRing => server.app.get(KeyRing);
const signingKid = async (): Promise<string | undefined> =>
  decodeProtectedHeader((await server.login('anna')).access_token).kid;

describe('replacing the standby', () => {
  it('publishes a pair of another algorithm in its place, at its planned time, and supersedes it', async () => {
    const before = ring().standby();
    const answer = await post('/keys/replace-standby', { algorithm: 'ES256', reason: 'moving to ES256' });
    const { displaced, standby, takesOverAt } = replacement.parse(answer.body);
    await server.hearNews();
    expect(displaced).toBe(before?.kid);
    expect(ring().standby()).toMatchObject({ kid: standby, algorithm: 'ES256', activatesAt: before?.activatesAt });
    expect(Date.parse(takesOverAt)).toBe(before?.activatesAt);
    expect(ring().signer()?.retiresAt).toBe(before?.activatesAt);
  });

  it('keeps tokens of both algorithms good while the ring turns', async () => {
    const old = (await server.login('anna')).access_token;
    expect((await post('/keys/rotate', { force: true })).status).toBe(200);
    await server.hearNews();
    const young = (await server.login('anna')).access_token;
    expect([old, young].map((each) => decodeProtectedHeader(each).alg)).toEqual(['RS256', 'ES256']);
    for (const each of [old, young]) expect((await server.ask('/auth/me', { token: each })).status).toBe(200);
  });

  it('refuses an algorithm that there is none of', async () => {
    expect(await post('/keys/replace-standby', { algorithm: 'none' })).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    });
  });
});

describe('renewing', () => {
  it('publishes the active pair under a new version and kid, and the old tokens stay good after the takeover', async () => {
    const active = ring().signer();
    const old = (await server.login('anna')).access_token;
    const { standby } = replacement.parse((await post('/keys/renew', {})).body);
    await server.hearNews();
    expect(ring().standby()).toMatchObject({
      kid: standby,
      origin: 'renewed',
      renewedFrom: active?.version,
      thumbprint: active?.thumbprint,
    });
    expect(standby).not.toBe(active?.kid);
    await post('/keys/rotate', { force: true });
    await server.hearNews();
    expect(await signingKid()).toBe(standby);
    expect((await server.ask('/auth/me', { token: old })).status).toBe(200);
  });

  it('dies with its pair: revoking one kid revokes every kid of the pair, and the pair never comes back', async () => {
    const active = ring().signer();
    if (!active) throw new Error('nobody signs');
    const twin = (await server.login('anna')).access_token;
    const open = (await server.openKeys()).find((key) => key.version === active.version);
    expect((await post(`/keys/${active.kid}/revoke`, { reason: 'the pair leaked' })).status).toBe(200);
    await server.hearNews();
    const revoked = await database
      .connect('app')
      .then((app) =>
        app.query('SELECT version FROM keyturn.signing_keys WHERE thumbprint = $1 AND revoked_at IS NULL', [
          active.thumbprint,
        ]),
      );
    expect(revoked.rows).toEqual([]);
    expect((await server.ask('/auth/me', { token: twin })).status).toBe(401);
    token = (await server.login('anna')).access_token;
    if (!open) throw new Error('the vault had not opened it');
    const again = server.app.get(KeyReplacement).replaceStandby(SYSTEM, {
      is: 'imported',
      material: {
        algorithm: active.algorithm,
        privateKey: open.privateKey,
        publicJwk: active.publicJwk,
        thumbprint: active.thumbprint,
      },
    });
    await expect(again).rejects.toMatchObject({
      code: 'key_change_refused',
      message: expect.stringContaining('never comes back'),
    });
  });
});

describe('a revocation', () => {
  it.each(['superseded', ' superseded '])('is not asked for with the word that bans nothing: %j', async (reason) => {
    const standby = ring().standby()?.kid ?? '';
    const answer = await post(`/keys/${standby}/revoke`, { reason });
    expect([answer.status, answer.body]).toEqual([
      400,
      expect.objectContaining({
        code: 'validation_failed',
        detail: expect.stringContaining('leaves the key pair usable'),
        errors: [expect.objectContaining({ field: 'reason' })],
      }),
    ]);
    expect(ring().standby()?.kid).toBe(standby);
  });
});

describe('a receipt', () => {
  it('says how many servers follow, and by when outside caches have forgotten the key', async () => {
    const standby = ring().standby()?.kid ?? '';
    const { body } = await post(`/keys/${standby}/revoke`, { reason: 'a drill' });
    expect(body).toMatchObject({ revoked: standby, signer: ring().signer()?.kid, replicas: { live: 1 } });
    const { at, outsideCachesBy } = z.object({ at: z.string(), outsideCachesBy: z.string() }).parse(body);
    expect(Date.parse(outsideCachesBy) - Date.parse(at)).toBe(server.config.keys.jwksMaxAge);
  });

  it('names a server that does not follow and the time until which it may verify', async () => {
    await server.hearNews();
    const app = await database.connect('app');
    await app.query(`INSERT INTO keyturn.replicas (id, code_version, generation, kek_ids, opens, last_seen_at)
      VALUES ('00000000-0000-4000-8000-000000000001', 'old', 1, '{}', '{}', keyturn.clock())`);
    const { body } = await post(`/keys/${ring().standby()?.kid}/revoke`, { reason: 'a drill with one server cut off' });
    expect(body).toMatchObject({
      replicas: {
        silent: expect.arrayContaining([expect.objectContaining({ id: '00000000-0000-4000-8000-000000000001' })]),
      },
    });
    await app.query(`DELETE FROM keyturn.replicas WHERE code_version = 'old'`);
    await server.hearNews();
  });

  it('names a server that was silent already for as long as it may verify, and no longer', async () => {
    const app = await database.connect('app');
    const { offlineLimit } = server.config.keys;
    const { rows } = await app.query<{ id: string; seen: Date }>(
      `INSERT INTO keyturn.replicas (id, code_version, generation, kek_ids, opens, last_seen_at)
       SELECT gen_random_uuid(), 'silent', 1, '{}', '{}', date_trunc('milliseconds', keyturn.clock()) - age
       FROM unnest(ARRAY [interval '1 minute', $1 * interval '1 millisecond' + interval '6 seconds']) AS age
       RETURNING id, last_seen_at AS seen`,
      [offlineLimit],
    );
    const [cutOff] = rows;
    const { body } = await post(`/keys/${ring().standby()?.kid}/revoke`, { reason: 'a drill with one long cut off' });
    // Its heartbeat is at most 5 s late.
    const verifiesAtMostUntil = new Date((cutOff?.seen.getTime() ?? 0) + 5_000 + offlineLimit).toISOString();
    expect(body).toMatchObject({ replicas: { live: 2, silent: expect.any(Array) } });
    expect(body).toHaveProperty('replicas.silent', expect.arrayContaining([{ id: cutOff?.id, verifiesAtMostUntil }]));
    expect(JSON.stringify(body)).not.toContain(rows[1]?.id);
    await app.query(`DELETE FROM keyturn.replicas WHERE code_version = 'silent'`);
    await server.hearNews();
  });
});

describe('the plan', () => {
  it('foretells takeovers over the real keys', async () => {
    const { body } = await server.ask('/keys/plan?for=3mo', { token });
    const { events } = z
      .object({
        events: z.array(z.object({ at: z.iso.datetime(), event: z.string(), version: z.int(), kid: z.string() })),
      })
      .parse(body);
    expect(events.find(({ event }) => event === 'takes over')).toMatchObject({
      kid: ring().standby()?.kid,
      at: new Date(ring().standby()?.activatesAt ?? 0).toISOString(),
    });
  });

  it('tries settings out, as often as they are given', async () => {
    const versions = async (query: string): Promise<unknown[]> => {
      const { body } = await server.ask(`/keys/plan?for=3mo${query}`, { token });
      return z.object({ events: z.array(z.unknown()) }).parse(body).events;
    };
    const [asItIs, faster, again] = [
      await versions(''),
      await versions('&set=KEY_ROTATION_INTERVAL=7d'),
      await versions('&set=KEY_ROTATION_INTERVAL=7d&set=KEY_ALGORITHM=ES256'),
    ];
    expect([faster.length > asItIs.length, again.length]).toEqual([true, faster.length]);
  });

  it('refuses what a key forbids, with the rule and the key', async () => {
    const query = 'set=ACCESS_TOKEN_TTL=2h&set=KEY_MAX_TOKEN_TTL=2h';
    expect(await server.ask(`/keys/plan?${query}`, { token })).toMatchObject({
      status: 409,
      body: { code: 'setting_refused', detail: expect.stringContaining(ring().signer()?.kid ?? '?') },
    });
  });

  it('refuses what a rule between settings forbids, with the rule', async () => {
    expect(await server.ask('/keys/plan?set=ACCESS_TOKEN_TTL=2h', { token })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'set', problem: 'ACCESS_TOKEN_TTL must be at most KEY_MAX_TOKEN_TTL' }] },
    });
  });

  it.each(['for=100y', 'for=soon', 'until=1y', 'set=NO_SUCH=1', 'set=CLOCK_SKEW', 'set=CLOCK_SKEW=soon'])(
    'refuses ?%s',
    async (query) => {
      expect(await server.ask(`/keys/plan?${query}`, { token })).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      });
    },
  );
});

describe('sealing again', () => {
  it('wraps everything under the first key in one transaction, and nothing is lost when the old key goes', async () => {
    const [old, young] = [server.kek, KeyEncryptionKeys.newLine()];
    await server.close();
    server = await startTestApp({ database, settings: { KEK: `${young},${old}` } });
    const { kekId, resealed } = await server.app.get(KeyResealing).reseal({ reason: 'a new key-encryption key' });
    expect(resealed).toBeGreaterThan(1);
    expect((await server.app.get(KeyResealing).reseal(SYSTEM)).resealed).toBe(0);
    const app = await database.connect('app');
    const { rows } = await app.query(
      'SELECT kek_id FROM keyturn.signing_key_secrets UNION SELECT kek_id FROM keyturn.service_secrets',
    );
    expect(rows).toEqual([{ kek_id: kekId }]);
    const pair = await server.login('anna');
    await server.close();
    server = await startTestApp({ database, settings: { KEK: young } });
    expect((await server.refresh(pair.refresh_token)).status).toBe(200);
  });

  it('waits until every running server holds the new key', async () => {
    const young = KeyEncryptionKeys.newLine();
    const other = await startTestApp({ database, settings: { KEK: `${young},${server.kek}` } });
    try {
      await expect(other.app.get(KeyResealing).reseal(SYSTEM)).rejects.toMatchObject({
        code: 'key_change_refused',
        message: expect.stringContaining('1 of 2 running servers'),
      });
    } finally {
      await other.close();
    }
  });

  it('waits for a server that is cut off and may come back, and says until when', async () => {
    const app = await database.connect('app');
    const { rows } = await app.query<{ until: Date }>(
      `INSERT INTO keyturn.replicas (id, code_version, generation, kek_ids, opens, last_seen_at)
       VALUES (gen_random_uuid(), 'silent', 1, '{}', '{}', date_trunc('milliseconds', keyturn.clock()) - interval '1 minute')
       RETURNING last_seen_at + interval '5 seconds' + $1 * interval '1 millisecond' AS until`,
      [server.config.keys.offlineLimit],
    );
    await expect(server.app.get(KeyResealing).reseal(SYSTEM)).rejects.toMatchObject({
      code: 'key_change_refused',
      message: expect.stringContaining(`cut off or killed counts until ${rows[0]?.until.toISOString()}.`),
    });
    await app.query(`DELETE FROM keyturn.replicas WHERE code_version = 'silent'`);
  });

  it('leaves everything as it was when one half cannot be opened', async () => {
    const young = KeyEncryptionKeys.newLine();
    const superuser = await database.connect('superuser');
    await superuser.query(
      `UPDATE keyturn.signing_key_secrets SET sealed = sealed || '\\x00' WHERE version = (SELECT max(version) FROM keyturn.signing_key_secrets)`,
    );
    const { kek } = server;
    await server.close();
    server = await startTestApp({ database, settings: { KEK: `${young},${kek}` } });
    await expect(server.app.get(KeyResealing).reseal(SYSTEM)).rejects.toMatchObject({ code: 'key_change_refused' });
    const { rows } = await superuser.query(
      'SELECT count(*)::integer AS young FROM keyturn.signing_key_secrets WHERE kek_id = $1',
      [young.split(':')[0]],
    );
    expect(rows).toEqual([{ young: 0 }]);
  });
});
