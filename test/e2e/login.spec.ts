import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { PasswordHasher } from '../../src/users/password/password-hasher.js';
import { startTestApp, members, PASSWORD, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';

let database: TestDatabase;
let server: TestApp;
let userId: string;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'RS256' } });
  userId = (await server.createUser({ username: 'anna@example.com', roles: ['hr', 'sales'] })).id;
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const week = 7 * 24 * 60 * 60;

const login = (username: string, password: string): Promise<Answer> =>
  server.ask('/auth/login', { json: { username, password } });

describe('a login', () => {
  it('answers with a pair of tokens that no cache may keep', async () => {
    const { status, headers, body } = await login('anna@example.com', PASSWORD);

    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(body).toEqual({
      access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 15 * 60,
      refresh_token: expect.stringMatching(/^ktr_[\w-]+$/),
      // Cut off to whole seconds after the session was written.
      refresh_expires_in: expect.any(Number),
    });
    expect([week, week - 1]).toContain(members(body)['refresh_expires_in']);
  });

  it('names the user as it was typed or not, ignoring case', async () => {
    expect((await login('ANNA@example.COM', PASSWORD)).status).toBe(200);
  });

  it('puts alg, kid and typ into the header and nothing else', async () => {
    const { header } = readToken((await server.login('anna@example.com')).access_token);
    const { kid } = await activeKey();

    expect(header).toEqual({ alg: 'RS256', kid, typ: 'at+jwt' });
  });

  it('puts the claims of RFC 9068 and the session into the payload and nothing else', async () => {
    const { claims } = readToken((await server.login('anna@example.com')).access_token);
    const issuedAt = Number(claims['iat']);

    expect(claims).toEqual({
      iss: server.url,
      aud: server.url,
      sub: userId,
      client_id: 'keyturn-web',
      iat: expect.any(Number),
      exp: issuedAt + 15 * 60,
      jti: expect.stringMatching(/^[\w-]{22}$/),
      sid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      ver: 1,
      auth_time: issuedAt,
      roles: ['hr', 'sales'],
    });
    expect(Number.isInteger(issuedAt)).toBe(true);
  });

  it('gives every token an id of its own and every login a session of its own', async () => {
    const logins = await Promise.all(Array.from({ length: 20 }, () => server.login('anna@example.com')));
    const claims = logins.map((pair) => readToken(pair.access_token).claims);

    expect(new Set(claims.map((claim) => claim['jti'])).size).toBe(20);
    expect(new Set(claims.map((claim) => claim['sid'])).size).toBe(20);
  });

  it('is good for what is guarded', async () => {
    const { access_token: token } = await server.login('anna@example.com');

    expect(await server.ask('/auth/me', { token })).toMatchObject({
      status: 200,
      body: { id: userId, username: 'anna@example.com', roles: ['hr', 'sales'] },
    });
  });
});

describe('a login that fails', () => {
  it('answers alike for an unknown user, a wrong password and a disabled user', async () => {
    await server.createUser({ username: 'disabled' });
    const superuser = await database.connect('superuser');
    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'disabled'`);

    const answers = [
      await login('nobody', PASSWORD),
      await login('anna@example.com', 'seven lanterns over quiet wine'),
      await login('disabled', PASSWORD),
    ];

    for (const answer of answers) expect(withoutRequest(answer)).toEqual(refusedLogin);
  });

  it('does the same work for each of them: statement by statement, hash by hash', async () => {
    await server.createUser({ username: 'off' });
    const superuser = await database.connect('superuser');
    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'off'`);
    await superuser.query(`INSERT INTO keyturn.users (username) VALUES ('not-yet')`);
    await login('nobody', PASSWORD); // what is made once is made
    const verify = jest.spyOn(server.app.get(PasswordHasher), 'verify');
    const hash = jest.spyOn(server.app.get(PasswordHasher), 'hash');
    const workOf = async (username: string, password: string): Promise<unknown> => {
      server.statements.length = 0;
      verify.mockClear();
      expect((await login(username, password)).status).toBe(401);
      // The salt and the digest differ, and the cost does not.
      const costs = verify.mock.calls.map(([phc]) => phc.split('$').slice(0, 4).join('$'));
      return {
        statements: [...server.statements],
        costs,
        passwords: verify.mock.calls.map(([, given]) => given.length),
      };
    };
    try {
      const unknown = await workOf('nobody', PASSWORD);
      const { memory, passes } = server.config.passwordHash;
      expect(unknown).toMatchObject({
        costs: [`$argon2id$v=19$m=${memory},t=${passes},p=1`],
        passwords: [PASSWORD.length],
      });
      expect(server.statements.length).toBeGreaterThanOrEqual(3); // counted, looked for, written down

      expect(await workOf('anna@example.com', PASSWORD.toUpperCase())).toEqual(unknown);
      expect(await workOf('off', PASSWORD)).toEqual(unknown);
      expect(await workOf('off', PASSWORD.toUpperCase())).toEqual(unknown);
      expect(await workOf('not-yet', PASSWORD)).toEqual(unknown);
      expect(hash).not.toHaveBeenCalled();
    } finally {
      verify.mockRestore();
      hash.mockRestore();
    }
  });

  it('answers alike for a user who was invited and has no password yet', async () => {
    const superuser = await database.connect('superuser');
    await superuser.query(`INSERT INTO keyturn.users (username) VALUES ('invited')`);

    expect(withoutRequest(await login('invited', PASSWORD))).toEqual(refusedLogin);
  });

  const refusedLogin = {
    status: 401,
    headers: expect.objectContaining({
      'content-type': expect.stringMatching(/^application\/problem\+json(;|$)/),
      'cache-control': 'no-store',
      'www-authenticate': 'Bearer realm="keyturn"',
    }),
    body: {
      type: 'about:blank',
      title: 'Unauthorized',
      status: 401,
      code: 'invalid_credentials',
      detail: 'The username or the password is wrong.',
      requestId: 'this one',
    },
  };
});

describe('a login request', () => {
  const json = { 'content-type': 'application/json' };
  const raw = (
    body: string | Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>> = json,
  ): AskOptions => ({
    ...{ method: 'POST', headers, body },
  });
  const good = JSON.stringify({ username: 'anna@example.com', password: PASSWORD });

  const wrong: readonly (readonly [what: string, AskOptions, status: number, code: string])[] = [
    ['cut off', raw(good.slice(0, -1)), 400, 'malformed_json'],
    ['empty', raw(''), 400, 'validation_failed'],
    ['of blanks', raw('  '), 400, 'malformed_json'],
    ['that is not JSON at all', raw('username=anna'), 400, 'malformed_json'],
    ['with something after the JSON', raw(`${good}{}`), 400, 'malformed_json'],
    ['with a byte order mark and nothing else', raw('\uFEFF'), 400, 'malformed_json'],
    ['with a prototype in it', raw(`{"__proto__": {"admin": true}, ${good.slice(1)}`), 400, 'malformed_json'],
    ['with a constructor in it', raw(`{"constructor": {"prototype": {}}, ${good.slice(1)}`), 400, 'malformed_json'],
    ['that is no UTF-8', raw(notUtf8()), 400, 'malformed_json'],
    ['that is null', raw('null'), 400, 'validation_failed'],
    ['that is an array', raw('[]'), 400, 'validation_failed'],
    ['that is a string', raw('"x"'), 400, 'validation_failed'],
    ['that is a number', raw('1'), 400, 'validation_failed'],
    ['without anything', raw('{}'), 400, 'validation_failed'],
    ['without a password', { json: { username: 'anna@example.com' } }, 400, 'validation_failed'],
    ['with a field we do not know', { json: { ...members(JSON.parse(good)), otp: '1' } }, 400, 'validation_failed'],
    ['that assigns roles', { json: { ...members(JSON.parse(good)), roles: ['admin'] } }, 400, 'validation_failed'],
    [
      'with a query for a password',
      raw('{"username":"anna@example.com","password":{"$ne":""}}'),
      400,
      'validation_failed',
    ],
    [
      'with a list for a username',
      { json: { username: ['anna@example.com'], password: PASSWORD } },
      400,
      'validation_failed',
    ],
    ['with a number for a password', { json: { username: 'anna@example.com', password: 1 } }, 400, 'validation_failed'],
    ['with true for a password', { json: { username: 'anna@example.com', password: true } }, 400, 'validation_failed'],
    ['with null for a password', { json: { username: 'anna@example.com', password: null } }, 400, 'validation_failed'],
    ['with an empty username', { json: { username: '', password: PASSWORD } }, 400, 'validation_failed'],
    ['with an empty password', { json: { username: 'anna@example.com', password: '' } }, 400, 'validation_failed'],
    ['with a username of 255', { json: { username: 'a'.repeat(255), password: PASSWORD } }, 400, 'validation_failed'],
    ['with a password of 1,025', { json: { username: 'anna', password: 'a'.repeat(1_025) } }, 400, 'validation_failed'],
    ['with arrays 7,000 deep', raw(`{"username":"anna","password":${deep(7_000)}}`), 400, 'validation_failed'],
    ['with a NUL in the username', raw('{"username":"anna\\u0000","password":"x"}'), 400, 'validation_failed'],
    ['with half a surrogate pair', raw('{"username":"anna","password":"\\ud800"}'), 400, 'validation_failed'],
    ['with arrays 10,000 deep', raw(`{"username":"anna","password":${deep(10_000)}}`), 413, 'payload_too_large'],
    ['of more than 16 KiB', raw(`{"username":"anna","password":"${'a'.repeat(16_384)}"}`), 413, 'payload_too_large'],
    ['of a megabyte', raw(`{"username":"anna","password":"${'a'.repeat(1_000_000)}"}`), 413, 'payload_too_large'],
    ['as plain text', raw(good, { 'content-type': 'text/plain' }), 415, 'unsupported_media_type'],
    ['as XML', raw(good, { 'content-type': 'application/xml' }), 415, 'unsupported_media_type'],
    [
      'as a multipart form',
      raw('--x--', { 'content-type': 'multipart/form-data; boundary=x' }),
      415,
      'unsupported_media_type',
    ],
    [
      'as a form, which another site could send',
      raw(String(new URLSearchParams({ username: 'anna@example.com', password: PASSWORD })), {
        'content-type': 'application/x-www-form-urlencoded',
      }),
      415,
      'unsupported_media_type',
    ],
    ['of no type', raw(new TextEncoder().encode(good), {}), 415, 'unsupported_media_type'],
    ['by GET', { method: 'GET' }, 405, 'method_not_allowed'],
    ['by PUT', { ...raw(good), method: 'PUT' }, 405, 'method_not_allowed'],
  ];

  it.each(wrong)('%s is refused', async (_what, options, status, code) => {
    const answer = await server.ask('/auth/login', options);

    expect({ status: answer.status, body: answer.body, type: mediaType(answer) }).toEqual({
      status,
      body: expect.objectContaining({ status, code, requestId: expect.any(String) }),
      type: 'application/problem+json',
    });
  });

  it('names the fields that are wrong', async () => {
    const answer = await server.ask('/auth/login', { json: { username: 1, remember: true } });

    expect(members(answer.body)['errors']).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ field: 'username' }),
        expect.objectContaining({ field: 'password' }),
      ]),
    );
  });
});

it('nothing secret was logged in any of this', async () => {
  const { access_token: access, refresh_token: refresh } = await server.login('anna@example.com');
  await server.refresh(refresh);
  await server.refresh(refresh);
  await server.ask('/auth/me', { token: access });
  await server.ask('/auth/me', { token: `${access}x` });
  const log = server.log.join('\n');

  expect(log).toContain('login');
  for (const secret of [
    PASSWORD,
    'quiet wine',
    access.split('.')[2] ?? access,
    'eyJ',
    'ktr_',
    server.kek.split(':')[1] ?? server.kek,
    'postgres://',
  ])
    expect(log).not.toContain(secret);
});

it('nothing that was sent broke anything', () => {
  expect(server.log.filter((line) => line.startsWith('error') || line.startsWith('fatal'))).toEqual([]);
});

async function activeKey() {
  const [active] = await server.openKeys();
  if (!active) throw new Error('no key');
  return active;
}

/** `{"username":"anna","password":"<FF FE>"}` */
function notUtf8(): Uint8Array<ArrayBuffer> {
  const text = '{"username":"anna","password":"xx"}';
  const bytes = new TextEncoder().encode(text);
  bytes.set([0xff, 0xfe], text.indexOf('xx'));
  return bytes;
}

const mediaType = ({ headers }: Answer): string | undefined => headers.get('content-type')?.split(';')[0];

function deep(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}

/** Without what differs from one answer to the next. */
function withoutRequest({ status, headers, body }: Answer) {
  const { date: _date, ...kept } = Object.fromEntries(headers);
  return { status, headers: kept, body: { ...members(body), requestId: 'this one' } };
}
