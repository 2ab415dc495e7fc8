import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { members, startTestApp, type Answer, type OpenedKey, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { day, hour, minute, only, second } from '../support/signing-keys.js';
import { forge, readToken, signedBy } from '../support/tokens.js';

const jwksSchema = z.object({ keys: z.array(z.record(z.string(), z.unknown())) });
const keysSchema = z.object({ keys: z.array(z.object({ kid: z.string(), version: z.number(), state: z.string() })) });

/** A server over a database of its own, with an administrator and a clerk. */
class World {
  private constructor(
    readonly database: TestDatabase,
    readonly server: TestApp,
  ) {}

  static async begin(settings: Parameters<typeof startTestApp>[0]['settings'] = {}): Promise<World> {
    const database = await createTestDatabase();
    try {
      const server = await startTestApp({ database, settings });
      await server.createUser({ username: 'admin', roles: ['admin'] });
      await server.createUser({ username: 'clerk' });
      return new World(database, server);
    } catch (error) {
      await database.drop();
      throw error;
    }
  }

  async end(): Promise<void> {
    await this.server.close();
    await this.database.drop();
  }

  /** A new access token. */
  async token(username = 'clerk'): Promise<string> {
    return (await this.server.login(username)).access_token;
  }

  /** A change of keys, asked for by an administrator who logged in a moment ago. */
  async administer(path: string, json: unknown): Promise<Answer> {
    return this.server.ask(path, { token: await this.token('admin'), json });
  }

  async accepts(token: string): Promise<boolean> {
    return (await this.server.ask('/auth/me', { token })).status === 200;
  }

  async jwks(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return jwksSchema.parse((await this.server.ask('/.well-known/jwks.json')).body).keys;
  }

  async publicKids(): Promise<unknown[]> {
    return (await this.jwks()).map((key) => key['kid']);
  }

  /** Kids by state, as administrators see them. */
  async states(): Promise<Readonly<Record<string, string>>> {
    const { body } = await this.server.ask('/keys', { token: await this.token('admin') });
    return Object.fromEntries(keysSchema.parse(body).keys.map(({ kid, state }) => [kid, state]));
  }

  get signer() {
    return known(this.server.app.get(KeyRing).signer());
  }

  get standby() {
    return known(this.server.app.get(KeyRing).standby());
  }

  /** Time passes, the server hears of it, and does what is due by then. */
  async pass(milliseconds: number): Promise<void> {
    await this.database.moveClock(milliseconds);
    await this.server.hearNews();
    await this.server.tick();
  }
}

function known<T>(key: T | undefined): T {
  if (key === undefined) throw new Error('there is no such key');
  return key;
}

const kidOf = (token: string): unknown => readToken(token).header['kid'];

describe('the public keys', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin({ KEY_ALGORITHM: 'RS256' });
  });
  afterAll(() => world?.end());

  const jwks = (headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
    world.server.ask('/.well-known/jwks.json', { headers });

  it('are the signer and the standby', async () => {
    expect(await world.publicKids()).toEqual([world.signer.kid, world.standby.kid]);
  });

  it('have the members of a public key and nothing else', async () => {
    for (const key of await world.jwks()) {
      expect(key).toEqual({
        ...{ kty: 'RSA', use: 'sig', alg: 'RS256', e: 'AQAB' },
        kid: expect.stringMatching(/^\d+-[\w-]{8}$/),
        n: expect.stringMatching(/^[\w-]{342}$/),
      });
    }
  });

  it('come as a JWK set that caches may keep for JWKS_MAX_AGE', async () => {
    const { status, headers } = await jwks();

    expect([status, headers.get('content-type')?.split(';')[0], headers.get('cache-control')]).toEqual([
      200,
      'application/jwk-set+json',
      'public, max-age=600',
    ]);
    expect(headers.get('etag')).toMatch(/^"[\w-]+"$/);
  });

  it('are 304 to whoever has them already', async () => {
    const etag = (await jwks()).headers.get('etag') ?? '';

    const again = [etag, `W/${etag}`, `"other", ${etag}`, '*'].map((tag) => jwks({ 'if-none-match': tag }));

    for (const { status, body, headers } of await Promise.all(again)) {
      expect({ status, body, etag: headers.get('etag') }).toEqual({ status: 304, body: '', etag });
    }
    expect((await jwks({ 'if-none-match': '"other"' })).status).toBe(200);
  });

  it('have another tag when they are others', async () => {
    const etag = (await jwks()).headers.get('etag') ?? '';
    await world.administer('/keys/rotate', { force: true });
    await world.server.hearNews();

    expect((await jwks({ 'if-none-match': etag })).status).toBe(200);
  });

  it('can be asked for by HEAD', async () => {
    expect((await world.server.ask('/.well-known/jwks.json', { method: 'HEAD' })).status).toBe(200);
  });

  it('are found through the metadata of RFC 8414, whose issuer is exactly that of the tokens', async () => {
    const { status, body } = await world.server.ask('/.well-known/oauth-authorization-server');
    const { claims } = readToken(await world.token());

    expect(status).toBe(200);
    expect(body).toMatchObject({ issuer: world.server.url, jwks_uri: `${world.server.url}/.well-known/jwks.json` });
    expect(members(body)['issuer']).toBe(claims['iss']);
  });

  it('are of the algorithms that the metadata names, also while the ring turns from one to another', async () => {
    const algorithms = async (): Promise<unknown> =>
      members((await world.server.ask('/.well-known/oauth-authorization-server')).body)[
        'access_token_signing_alg_values_supported'
      ];
    expect(await algorithms()).toEqual(['RS256']);

    await world.administer('/keys/replace-standby', { algorithm: 'ES256' });
    await world.server.hearNews();

    expect(await algorithms()).toEqual(['RS256', 'ES256']);
    await world.administer('/keys/replace-standby', { algorithm: 'RS256' });
    await world.server.hearNews();
  });

  it('are not said to be none while none was loaded', async () => {
    world.server.app.get(KeyRing).generation = -1;
    for (const path of ['/.well-known/jwks.json', '/.well-known/oauth-authorization-server']) {
      const { status, headers, body } = await world.server.ask(path);
      expect([status, members(body)['code']]).toEqual([503, 'keys_unavailable']);
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(headers.get('cache-control')).toBe('no-store');
    }

    await world.server.hearNews();
    expect((await jwks()).status).toBe(200);
  });

  it('are enough for a resource server in another language, before and after a rotation', async () => {
    const keys = createRemoteJWKSet(new URL(`${world.server.url}/.well-known/jwks.json`), { cooldownDuration: 0 });
    const options = { issuer: world.server.url, audience: world.server.url, typ: 'at+jwt', algorithms: ['RS256'] };
    const before = await world.token();
    expect((await jwtVerify(before, keys, options)).payload.sub).toBe(readToken(before).claims['sub']);

    // It knows the standby already: so it need not ask again.
    await world.administer('/keys/rotate', { force: true });
    await world.server.hearNews();
    const after = await world.token();

    expect(kidOf(after)).not.toBe(kidOf(before));
    expect((await jwtVerify(after, keys, options)).protectedHeader.kid).toBe(kidOf(after));
    expect((await jwtVerify(before, keys, options)).protectedHeader.kid).toBe(kidOf(before));
  });
});

describe('a rotation', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin();
  });
  afterAll(() => world?.end());

  it('is for administrators', async () => {
    const answers = await Promise.all([
      world.server.ask('/keys/rotate', { json: {} }),
      world.server.ask('/keys/rotate', { json: {}, token: await world.token() }),
      world.server.ask('/keys', { token: await world.token() }),
    ]);

    expect(answers.map(({ status, body }) => [status, members(body)['code']])).toEqual([
      [401, 'missing_token'],
      [403, 'insufficient_scope'],
      [403, 'insufficient_scope'],
    ]);
  });

  it('wants a login that is not older than 15 minutes', async () => {
    const pair = await world.server.login('admin');
    await world.pass(14 * minute);
    const refreshed = members((await world.server.refresh(pair.refresh_token)).body)['access_token'];
    const token = String(refreshed);
    await world.pass(minute + 2 * second);

    const { status, headers, body } = await world.server.ask('/keys/rotate', { token, json: {} });

    expect([status, members(body)['code']]).toEqual([401, 'fresh_login_required']);
    expect(headers.get('www-authenticate')).toContain('insufficient_user_authentication');
    expect((await world.server.ask('/keys', { token })).status).toBe(200);
  });

  it('believes the session, not the token, about when the login was', async () => {
    const pair = await world.server.login('admin');
    await world.pass(14 * minute);
    const refreshed = String(members((await world.server.refresh(pair.refresh_token)).body)['access_token']);
    await world.pass(minute + 2 * second);
    const { header, claims } = readToken(refreshed);
    const key = known((await world.server.openKeys()).find(({ kid }) => kid === header['kid']));

    const token = forge(header, { ...claims, auth_time: claims['iat'] }, signedBy(key.privateKey));

    const { status, body } = await world.server.ask('/keys/rotate', { token, json: {} });
    expect([status, members(body)['code']]).toEqual([401, 'fresh_login_required']);
    expect((await world.server.ask('/keys', { token })).status).toBe(200);
  });

  it('refuses a standby that caches may not know yet, and says from when', async () => {
    const { signer, standby } = world;

    const { status, body } = await world.administer('/keys/rotate', {});

    expect({ status, body }).toEqual({
      status: 409,
      body: expect.objectContaining({
        code: 'standby_too_young',
        from: new Date(standby.publishedAt + hour).toISOString(),
      }),
    });
    expect(kidOf(await world.token())).toBe(signer.kid);
  });

  it('goes on all the same when it is forced', async () => {
    const { signer, standby } = world;

    const { status, body } = await world.administer('/keys/rotate', { force: true, reason: 'a drill' });

    expect({ status, body }).toEqual({
      status: 200,
      body: { retired: signer.kid, activated: standby.kid, forced: true, at: expect.any(String) },
    });
    await world.server.hearNews();
    expect(world.signer.kid).toBe(standby.kid);
  });

  it('puts the standby in the place of the signer, keeps the old tokens good, and publishes a new standby', async () => {
    await world.pass(second);
    const { signer, standby } = world;
    const old = await world.token();
    await world.pass(hour + second);

    const { body } = await world.administer('/keys/rotate', {});
    const young = await world.token();
    await world.server.hearNews();

    expect(body).toMatchObject({ forced: false });
    expect([kidOf(old), kidOf(young)]).toEqual([signer.kid, standby.kid]);
    expect(await world.accepts(young)).toBe(true);
    expect(await world.states()).toMatchObject({ [signer.kid]: 'retiring', [standby.kid]: 'active' });
    expect(world.standby.version).toBe(standby.version + 1);
    expect(await world.publicKids()).toEqual(expect.arrayContaining([signer.kid, standby.kid, world.standby.kid]));
  });

  it('leaves a token of the key before it good', async () => {
    const token = await world.token();
    await world.administer('/keys/rotate', { force: true });
    await world.server.hearNews();

    expect(kidOf(token)).not.toBe(world.signer.kid);
    expect(await world.accepts(token)).toBe(true);
  });

  it('asked for ten times at once from one version happens once', async () => {
    const from = world.signer;
    const token = await world.token('admin');

    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        world.server.ask('/keys/rotate', { token, json: { fromVersion: from.version, force: true } }),
      ),
    );

    const codes = answers.map(({ status, body }) => members(body)['code'] ?? status);
    expect(codes.filter((code) => code === 200)).toHaveLength(1);
    expect(codes.filter((code) => code === 'version_conflict')).toHaveLength(9);
    await world.server.hearNews();
    expect(world.signer.version).toBe(from.version + 1);
  });

  it('from a version that signs no more changes nothing', async () => {
    const { signer } = world;

    const { status, body } = await world.administer('/keys/rotate', { fromVersion: signer.version - 1, force: true });

    expect([status, members(body)['code'], members(body)['activeVersion']]).toEqual([
      409,
      'version_conflict',
      signer.version,
    ]);
    await world.server.hearNews();
    expect(world.signer.kid).toBe(signer.kid);
  });

  it.each([{ fromVersion: '1' }, { fromVersion: 0 }, { force: 'yes' }, { reason: '' }, { to: 3 }, []])(
    'of %j is refused',
    async (json) => {
      expect(await world.administer('/keys/rotate', json)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      });
    },
  );

  it('is written into history with who asked, why, and by which request', async () => {
    const { standby } = world;
    const adminId = readToken(await world.token('admin')).claims['sub'];
    await world.administer('/keys/rotate', { force: true, reason: 'history wants to know' });
    const auditor = await world.database.connect('auditor');

    const row = only(
      await auditor.query<{ who: string; reason: string; request_id: string; event: string }>(
        `SELECT who, reason, request_id, event FROM audit.key_history WHERE kid = $1 AND event LIKE 'taken_over%'`,
        [standby.kid],
      ),
    );

    expect(adminId).toEqual(expect.any(String));
    expect(row).toEqual({
      who: 'admin',
      reason: 'history wants to know',
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      event: 'taken_over_forced',
    });
  });
});

describe('a revocation', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin({ KEY_POLL_INTERVAL: '50ms' });
  });
  // The answer does not wait for the next standby to be made; the next test does.
  beforeEach(async () => {
    await world.server.hearNews();
    await world.server.tick();
  });
  afterAll(() => world?.end());

  it('of the signer kills its tokens, takes it out of JWKS, and lets the standby take over', async () => {
    const { signer, standby } = world;
    const old = await world.token();
    expect(await world.accepts(old)).toBe(true);

    const { status, body } = await world.administer(`/keys/${signer.kid}/revoke`, { reason: 'leaked' });

    expect({ status, body }).toEqual({
      status: 200,
      body: expect.objectContaining({
        revoked: signer.kid,
        signer: standby.kid,
        replicas: expect.objectContaining({ live: 1, following: 1 }),
      }),
    });
    expect(await world.accepts(old)).toBe(false);
    expect(await world.publicKids()).not.toContain(signer.kid);
    const young = await world.token();
    expect(kidOf(young)).toBe(standby.kid);
    expect(await world.accepts(young)).toBe(true);
  });

  it('ends no session: a refresh brings a token under the new key', async () => {
    const pair = await world.server.login('clerk');
    await world.administer(`/keys/${String(kidOf(pair.access_token))}/revoke`, { reason: 'leaked' });

    const token = String(members((await world.server.refresh(pair.refresh_token)).body)['access_token']);

    expect([await world.accepts(pair.access_token), await world.accepts(token)]).toEqual([false, true]);
  });

  it('destroys the private half', async () => {
    const { signer } = world;
    await world.administer(`/keys/${signer.kid}/revoke`, { reason: 'leaked' });
    await world.server.tick();

    expect((await world.server.openKeys()).map((key: OpenedKey) => key.kid)).not.toContain(signer.kid);
  });

  it('twice is refused', async () => {
    const { standby } = world;
    await world.administer(`/keys/${standby.kid}/revoke`, { reason: 'once' });

    expect(await world.administer(`/keys/${standby.kid}/revoke`, { reason: 'twice' })).toMatchObject({
      status: 409,
      body: { code: 'key_change_refused' },
    });
  });

  it('of a key that is not there is 404', async () => {
    expect(await world.administer('/keys/999-AAAAAAAA/revoke', { reason: 'x' })).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });

  it.each([{}, { reason: '' }, { reason: '   ' }, { reason: 'a'.repeat(501) }, { reason: 1 }, { reason: 'a\u0000b' }])(
    'with %j for a reason is refused',
    async (json) => {
      expect(await world.administer(`/keys/${world.signer.kid}/revoke`, json)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      });
    },
  );

  it('of a kid that cannot be one is refused', async () => {
    expect(await world.administer(`/keys/${encodeURIComponent(`' OR 1=1`)}/revoke`, { reason: 'x' })).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    });
  });

  it('is for administrators who have just logged in', async () => {
    const path = `/keys/${world.signer.kid}/revoke`;
    const stale = await world.server.login('admin');
    expect((await world.server.ask(path, { token: await world.token(), json: { reason: 'x' } })).status).toBe(403);

    await world.pass(14 * minute);
    const token = String(members((await world.server.refresh(stale.refresh_token)).body)['access_token']);
    await world.pass(minute + 2 * second);

    expect(await world.server.ask(path, { token, json: { reason: 'x' } })).toMatchObject({
      status: 401,
      body: { code: 'fresh_login_required' },
    });
  });
});

describe('a revocation typed in psql', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin();
  });
  afterAll(() => world?.end());

  const revoke = async (kid: string): Promise<void> => {
    const superuser = await world.database.connect('superuser');
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE kid = $1`,
      [kid],
    );
    await world.server.hearNews();
  };

  it('is obeyed, and heals: the standby takes over and a new one is published', async () => {
    const { signer, standby } = world;
    const old = await world.token();
    expect(await world.accepts(old)).toBe(true);

    await revoke(signer.kid);

    expect(await world.accepts(old)).toBe(false);
    expect(world.signer.kid).toBe(standby.kid);
    expect(world.standby.version).toBe(standby.version + 1);
    expect(await world.publicKids()).toEqual([standby.kid, world.standby.kid]);
    expect(await world.accepts(await world.token())).toBe(true);
  });

  it('of the standby brings another standby and moves no signer', async () => {
    const { signer, standby } = world;

    await revoke(standby.kid);

    expect(world.signer.kid).toBe(signer.kid);
    expect(world.standby.version).toBe(standby.version + 1);
    expect(await world.publicKids()).toEqual([signer.kid, world.standby.kid]);
  });

  it('of every key there is brings new ones', async () => {
    const superuser = await world.database.connect('superuser');
    const old = await world.token();

    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'all of them' WHERE revoked_at IS NULL`,
    );
    await world.server.hearNews();

    expect(await world.accepts(old)).toBe(false);
    const young = await world.token();
    expect(kidOf(young)).toBe(world.signer.kid);
    expect(await world.accepts(young)).toBe(true);
    expect(await world.publicKids()).toEqual([world.signer.kid, world.standby.kid]);
  });
});

describe('a takeover that was scheduled', () => {
  let world: World;
  beforeAll(async () => {
    // A session outlives the rotation, and a token may be as old as its key allows.
    world = await World.begin({ KEY_ROTATION_INTERVAL: '1d', ACCESS_TOKEN_TTL: '1h' });
  });
  afterAll(() => world?.end());

  const skew = 30 * second;

  it('comes by the clock alone, keeps old tokens good to their end, and destroys the private half in time', async () => {
    const { signer: old, standby } = world;
    const oldKey = known((await world.server.openKeys()).find((key) => key.kid === old.kid));
    const bound = world.server.config.keys.refreshBound;

    // Up to the last minute the old key signs.
    await world.database.moveClock(standby.activatesAt - old.activatesAt - minute);
    await world.server.hearNews();
    const last = await world.token();
    expect(kidOf(last)).toBe(old.kid);

    // Then the new one, although no job has run.
    await world.database.moveClock(minute);
    await world.server.hearNews();
    expect(kidOf(await world.token())).toBe(standby.kid);
    expect(await world.accepts(last)).toBe(true);

    // The job makes a new standby, and lets the old private half be until no replica can sign with it.
    await world.server.tick();
    expect(world.standby.version).toBe(standby.version + 1);
    expect((await world.server.openKeys()).map((key) => key.kid)).toContain(old.kid);
    await world.pass(bound + second);
    expect((await world.server.openKeys()).map((key) => key.kid)).not.toContain(old.kid);

    // A token that a replica signed as late as it could is good until the key expires.
    const { header, claims } = readToken(last);
    const issuedAt = Math.floor((standby.activatesAt + bound) / second);
    const latest = forge(header, { ...claims, iat: issuedAt, exp: issuedAt + 3_600 }, signedBy(oldKey.privateKey));
    await world.pass(hour - 2 * second);
    const ring = world.server.app.get(KeyRing);
    expect(known(ring.get(old.kid)).expiresAt).toBe(standby.activatesAt + bound + hour + skew);
    expect([await world.accepts(latest), await world.publicKids()]).toEqual([
      true,
      [old.kid, standby.kid, world.standby.kid],
    ]);

    // At that instant it is refused and its key leaves JWKS.
    await world.pass(skew + 2 * second);
    expect([await world.accepts(latest), await world.publicKids()]).toEqual([false, [standby.kid, world.standby.kid]]);
  });

  it('goes on for ever, when the job runs', async () => {
    for (let turn = 0; turn < 5; turn++) {
      const { standby } = world;
      await world.pass(day);
      expect(world.signer.kid).toBe(standby.kid);
    }
    expect(await world.accepts(await world.token())).toBe(true);
  });

  it('that nobody prepared, every server being down, leaves the last key signing', async () => {
    const { standby } = world;

    await world.database.moveClock(10 * day);
    await world.server.hearNews();

    expect(kidOf(await world.token())).toBe(standby.kid);
  });
});

describe.each([
  ['ES256', { kty: 'EC', crv: 'P-256', x: expect.any(String), y: expect.any(String) }],
  ['PS256', { kty: 'RSA', n: expect.any(String), e: 'AQAB' }],
])('KEY_ALGORITHM=%s', (algorithm, publicHalf) => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin({ KEY_ALGORITHM: algorithm });
  });
  afterAll(() => world?.end());

  it('signs with keys that JWKS shows and jose verifies with', async () => {
    const token = await world.token();
    const keys = createRemoteJWKSet(new URL(`${world.server.url}/.well-known/jwks.json`));

    expect((await jwtVerify(token, keys, { algorithms: [algorithm] })).protectedHeader.alg).toBe(algorithm);
    expect((await world.jwks())[0]).toEqual({ ...publicHalf, alg: algorithm, use: 'sig', kid: world.signer.kid });
    expect(await world.accepts(token)).toBe(true);
  });

  it('says so in the metadata', async () => {
    expect((await world.server.ask('/.well-known/oauth-authorization-server')).body).toMatchObject({
      access_token_signing_alg_values_supported: [algorithm],
    });
  });
});

describe('KEY_ALGORITHM=HS256', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.begin({ KEY_ALGORITHM: 'HS256' });
  });
  afterAll(() => world?.end());

  it('publishes nothing and turns like any other key', async () => {
    const old = await world.token();
    expect(await world.publicKids()).toEqual([]);

    await world.administer('/keys/rotate', { force: true });
    await world.server.hearNews();
    const young = await world.token();

    expect(kidOf(young)).not.toBe(kidOf(old));
    expect([await world.accepts(old), await world.accepts(young)]).toEqual([true, true]);
    expect(await world.publicKids()).toEqual([]);
  });
});
