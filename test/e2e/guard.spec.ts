import { createServer as createTcpServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Module, Post } from '@nestjs/common';
import { CurrentUser, FreshLogin, Public, Roles, type AuthenticatedUser } from '../../src/common/access.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { KeyVault } from '../../src/keys/vault/key-vault.js';
import { exchange } from '../support/raw-http.js';
import { members, PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { forge, readToken, signedBy } from '../support/tokens.js';
import {
  HOSTILE_ES256_TOKENS,
  HOSTILE_HS256_TOKENS,
  HOSTILE_TOKENS,
  withClaims,
  type Hostile,
  type World,
} from './hostile-tokens.js';

@Controller('reports')
class ReportsController {
  @Get()
  list(@CurrentUser() user: AuthenticatedUser): { for: AuthenticatedUser } {
    return { for: user };
  }

  @Post()
  write(@CurrentUser() { username }: AuthenticatedUser): { by: string } {
    return { by: username };
  }

  @Get('payroll')
  @Roles('hr', 'board')
  payroll(): { salaries: number[] } {
    return { salaries: [1] };
  }

  @Get('about')
  @Public()
  about(): { about: string } {
    return { about: 'reports' };
  }

  @Get('mistake')
  @Public()
  mistake(@CurrentUser() user: AuthenticatedUser): AuthenticatedUser {
    return user;
  }
}

@Controller('ledger')
@Roles('hr')
class LedgerController {
  @Get()
  read(): { entries: number } {
    return { entries: 0 };
  }

  @Get('hello')
  @Public()
  hello(): { hello: string } {
    return { hello: 'there' };
  }

  @Get('sales')
  @Roles('sales')
  sales(): { entries: number } {
    return { entries: 1 };
  }
}

@Controller('catalogue')
@Public()
class CatalogueController {
  @Get()
  list(): { pieces: number } {
    return { pieces: 3 };
  }

  @Get('prices')
  @Roles('hr')
  prices(): { price: number } {
    return { price: 1 };
  }

  @Get('keys')
  @FreshLogin()
  keys(): { keys: number } {
    return { keys: 0 };
  }
}

/** What an application developer writes. */
@Module({ controllers: [ReportsController, LedgerController, CatalogueController] })
class ReportsModule {}

const minute = 60_000;

let database: TestDatabase;
let server: TestApp;
let trap: Trap;
let hr: string;
let clerk: string;
beforeAll(async () => {
  database = await createTestDatabase();
  trap = await openTrap();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'RS256' }, features: [ReportsModule] });
  await server.createUser({ username: 'hanna', roles: ['hr'] });
  await server.createUser({ username: 'carl' });
  hr = (await server.login('hanna')).access_token;
  clerk = (await server.login('carl')).access_token;
});
afterAll(async () => {
  await server?.close();
  await trap?.close();
  await database?.drop();
});

const reports = (token: string): Promise<Answer> => server.ask('/reports', { token });

describe('a feature module of the application', () => {
  it('is guarded without saying so', async () => {
    expect(await server.ask('/reports')).toMatchObject({ status: 401, body: { code: 'missing_token' } });
  });

  it('hands the user to the handler', async () => {
    const { claims } = readToken(clerk);

    expect((await reports(clerk)).body).toEqual({
      for: {
        id: claims['sub'],
        username: 'carl',
        roles: [],
        sessionId: claims['sid'],
        tokenId: claims['jti'],
        authenticatedAt: claims['auth_time'],
        expiresAt: claims['exp'],
      },
    });
  });

  it('opens what is @Public() to everybody', async () => {
    expect(await server.ask('/reports/about')).toMatchObject({ status: 200, body: { about: 'reports' } });
    expect(await server.ask('/ledger/hello')).toMatchObject({ status: 200, body: { hello: 'there' } });
  });

  it('opens what is @Public() even to a token that is no good', async () => {
    expect((await server.ask('/reports/about', { token: 'no.good.token' })).status).toBe(200);
  });

  it('opens what is for @Roles() to whoever has one of them', async () => {
    expect((await server.ask('/reports/payroll', { token: hr })).status).toBe(200);
  });

  it('answers 403 insufficient_scope to whoever has none of them', async () => {
    const { status, headers, body } = await server.ask('/reports/payroll', { token: clerk });

    expect({ status, challenge: headers.get('www-authenticate'), body }).toEqual({
      status: 403,
      challenge: 'Bearer realm="keyturn", error="insufficient_scope"',
      body: expect.objectContaining({ code: 'insufficient_scope' }),
    });
  });

  it('takes @Roles() of a controller for each of its routes, and of a route before those', async () => {
    const asked = async (path: string, token: string): Promise<number> => (await server.ask(path, { token })).status;

    expect([await asked('/ledger', hr), await asked('/ledger', clerk), await asked('/ledger/sales', hr)]).toEqual([
      200, 403, 403,
    ]);
  });

  it('guards a route that asks for a role or a fresh login where the rest of its controller is open', async () => {
    const asked = async (path: string, token?: string): Promise<number> =>
      (await server.ask(path, token === undefined ? {} : { token })).status;

    expect(await asked('/catalogue')).toBe(200);
    expect([await asked('/catalogue/prices'), await asked('/catalogue/keys')]).toEqual([401, 401]);
    expect([await asked('/catalogue/prices', clerk), await asked('/catalogue/prices', hr)]).toEqual([403, 200]);
    expect(await asked('/catalogue/keys', clerk)).toBe(200);
  });

  it('answers 500, and says why in the log, where a public route asks for a user', async () => {
    expect(await server.ask('/reports/mistake')).toMatchObject({ status: 500, body: { code: 'internal_error' } });
    expect(server.log.join('\n')).toContain('@CurrentUser() on a route that is @Public()');
  });

  it('guards what is not there no differently from what is open', async () => {
    expect(await server.ask('/reports/nothing/here')).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });
});

describe('credentials', () => {
  const challenge = 'Bearer realm="keyturn"';
  const unclear = (words: string): string => `${challenge}, error="invalid_request", error_description="${words}"`;

  it.each([
    ['none', {}],
    ['of another scheme', { authorization: 'Basic YW5uYTpwYXNz' }],
    ['of a scheme that begins like ours', { authorization: 'BearerX abc' }],
    ['that are a token without a scheme', { authorization: 'eyJhbGciOiJSUzI1NiJ9.e30.AAAA' }],
    ['of another scheme, with a token of ours behind a comma', { authorization: 'Basic YW5uYTpwYXNz, Bearer abc' }],
    ['of a scheme that binds tokens to keys', { authorization: 'DPoP abc' }],
    ['of our scheme and a tab', { authorization: 'Bearer\tabc' }],
    ['of our scheme and an equals sign', { authorization: 'Bearer=abc' }],
    ['in a header of another name', { 'x-authorization': 'Bearer abc' }],
    ['for a proxy', { 'proxy-authorization': 'Bearer abc' }],
    ['that a proxy might have checked', { 'x-forwarded-user': 'root', 'x-remote-user': 'root' }],
    ['that are an empty cookie', { cookie: '__Host-keyturn=; keyturn=abc' }],
  ])('%s: 401 that asks for Bearer and accuses of nothing', async (_what, headers) => {
    const answer = await server.ask('/reports', { headers });

    expect(answer).toMatchObject({ status: 401, body: { code: 'missing_token' } });
    expect(answer.headers.get('www-authenticate')).toBe(challenge);
  });

  it('in a query are ignored', async () => {
    expect(await server.ask(`/reports?access_token=${clerk}`)).toMatchObject({
      status: 401,
      body: { code: 'missing_token' },
    });
  });

  it('in a body are ignored', async () => {
    expect(await server.ask('/reports', { json: { access_token: clerk } })).toMatchObject({
      status: 401,
      body: { code: 'missing_token' },
    });
  });

  it('in a form are not even read', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };

    expect(await server.ask('/reports', { method: 'POST', headers, body: `access_token=${clerk}` })).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type' },
    });
  });

  it.each(['Bearer', 'Bearer ', 'bearer   '])(
    'that are "%s" and no token: 400 invalid_request',
    async (authorization) => {
      const answer = await server.ask('/reports', { headers: { authorization } });

      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
      expect(answer.headers.get('www-authenticate')).toBe(unclear('The Authorization header names no token.'));
    },
  );

  it.each(['bearer', 'BEARER', 'Bearer '])('by the scheme "%s" are ours', async (scheme) => {
    expect((await server.ask('/reports', { headers: { authorization: `${scheme} ${clerk}` } })).status).toBe(200);
  });

  it.each([
    ['the same twice', () => [clerk, clerk]],
    ['a good one first', () => [clerk, 'x']],
    ['a good one last', () => ['x', clerk]],
  ])('in two Authorization headers, %s: 400 invalid_request', async (_what, tokens) => {
    const lines = tokens().map((token) => `authorization: Bearer ${token}`);

    const answer = await exchange(
      server.url,
      ['GET /reports HTTP/1.1', 'host: x', 'connection: close', ...lines, '', ''].join('\r\n'),
    );

    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"invalid_request"');
    expect(answer).toContain(`: ${unclear('The request has more than one Authorization header.')}\r\n`);
  });

  it('in a second Authorization header hide behind no number of others', async () => {
    const many = Array.from({ length: 1_500 }, (_, index) => `a: ${index}`);
    const lines = [`authorization: Bearer ${clerk}`, ...many, 'authorization: Bearer x'];
    const answer = await exchange(
      server.url,
      ['GET /reports HTTP/1.1', 'host: x', 'connection: close', ...lines, '', ''].join('\r\n'),
    );

    expect(answer).toMatch(/^HTTP\/1\.1 431 [^]*"code":"headers_too_large"/);
  });

  it('in header and cookie at once, both good: 400 invalid_request', async () => {
    const headers = { cookie: `keyturn-dev-${new URL(server.url).port}=${clerk}` };
    const answer = await server.ask('/reports', { token: clerk, headers });

    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(answer.headers.get('www-authenticate')).toBe(
      unclear('The request has an access token in the header and one in a cookie.'),
    );
  });

  it('behind the body are ignored', async () => {
    const head = ['POST /reports HTTP/1.1', 'host: x', 'connection: close', 'content-type: application/json'];
    const body = ['transfer-encoding: chunked', 'trailer: authorization', '', '2', '{}', '0'];
    const answer = await exchange(
      server.url,
      [...head, ...body, `authorization: Bearer ${clerk}`, '', ''].join('\r\n'),
    );

    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('"code":"missing_token"');
  });

  it.each([
    ...[
      '/reports/',
      '//reports',
      '/REPORTS',
      '/%72eports',
      '/reports%2f',
      '/reports;x',
      '/./reports',
      '/reports?',
      '/reports#',
    ],
    ...['/reports/about/..', '/reports/about/../payroll', '/reports/about%2f..%2fpayroll', '/reports%00', '/reports\\'],
    ...['http://x/reports', '*'],
  ])('are wanted however the address is spelled: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'TRACE']) {
      const answer = await exchange(server.url, `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 (400|401|404|405) /);
    }
  });

  it('of a megabyte are refused before they are read, in words that we use', async () => {
    const answer = await exchange(
      server.url,
      `GET /reports HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${'a'.repeat(1_000_000)}\r\n\r\n`,
    );

    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('application/problem+json');
    expect(answer).toContain('"code":"headers_too_large"');
  });
});

const refused = (code: 'invalid_token' | 'token_expired', words: string) => ({
  status: 401,
  challenge: `Bearer realm="keyturn", error="invalid_token", error_description="${words}"`,
  body: {
    ...{ type: 'about:blank', title: 'Unauthorized', status: 401, code, detail: words },
    requestId: expect.any(String),
  },
});
const invalid = refused('invalid_token', 'The access token is invalid');
const expired = refused('token_expired', 'The access token expired');

/** Another letter, the same to whoever ignores case; of a digit another digit. */
const swappedCase = (letter: string): string => {
  const [lower, upper] = [letter.toLowerCase(), letter.toUpperCase()];
  return lower === upper ? String((Number(letter) + 1) % 10 || 'x') : letter === lower ? upper : lower;
};

const verdict = ({ status, headers, body }: Answer) => ({ status, challenge: headers.get('www-authenticate'), body });

/** The answer to the token in the header and in the cookie, and the reasons that the log alone gives. */
async function refusalsBy(asked: TestApp, token: string) {
  const cookie = `keyturn-dev-${new URL(asked.url).port}=${token}`;
  const refusals = [];
  for (const options of [{ token }, { headers: { cookie } }]) {
    const answer = verdict(await asked.ask('/auth/me', options));
    const reason = asked.log.findLast((line) => line.includes('token refused'))?.match(/token refused: ([\w:]+)/)?.[1];
    refusals.push({ ...answer, reason });
  }
  return refusals;
}

async function worldOf(asked: TestApp, username: string): Promise<World> {
  const [pair, other] = [await asked.login(username), await asked.login(username)];
  const [key, standby] = await asked.openKeys();
  if (!key || !standby) throw new Error('no keys');
  const { header, claims } = readToken(pair.access_token);
  const [good, otherGood, refreshToken] = [pair.access_token, other.access_token, pair.refresh_token];
  await asked.hearNews();
  const checkpoint = String(members((await asked.ask('/history/checkpoint')).body)['jws']);
  return { good, otherGood, refreshToken, checkpoint, header, claims, key, standby, trap: trap.url };
}

describe('a hostile token', () => {
  let world: World;
  beforeAll(async () => {
    world = await worldOf(server, 'carl');
  });

  it.each<readonly [string, (world: World) => string]>([
    ['as it was issued', ({ good }) => good],
    ['made by the same hand, with nothing wrong', withClaims({})],
    ['with an audience in a list', (w) => withClaims({ aud: ['x', w.claims['aud']] })(w)],
    [
      'with typ written out, in capitals',
      (w) => forge({ ...w.header, typ: 'application/AT+JWT' }, w.claims, signedBy(w.key.privateKey)),
    ],
    ['with nbf that has passed', (w) => withClaims({ nbf: w.claims['iat'] })(w)],
    ['with a claim that we do not know', withClaims({ cnf: { jkt: 'x' } })],
    ['with the longest life there is', (w) => withClaims({ exp: Number(w.claims['iat']) + 3_600 })(w)],
  ])('is not one %s', async (_what, make) => {
    expect((await server.ask('/auth/me', { token: make(world) })).status).toBe(200);
  });

  it.each(HOSTILE_TOKENS)('with %s is refused (%s)', async (_what, reason, make) => {
    const refusal = { ...invalid, reason };

    expect(await refusalsBy(server, make(world))).toEqual([refusal, refusal]);
  });

  it('is not vouched for by a good one that was seen a moment ago, however much of it is the same', async () => {
    const { good, header, claims, otherGood } = world;
    const [head = '', payload = '', signature = ''] = good.split('.');
    for (let seen = 0; seen < 2; seen++) expect((await reports(good)).status).toBe(200);
    const forged = forge(header, { ...claims, roles: ['admin'] }, () => Buffer.from(signature, 'base64url'));
    for (const token of [
      forged,
      `${head}.${otherGood.split('.')[1]}.${signature}`,
      `${head}.${payload}.${signature.slice(1)}`,
      `${head}.${payload}.A${signature}`,
      `${head}..${signature}`,
      `..${signature}`,
      signature,
      `x${good}`,
    ])
      expect(verdict(await reports(token))).toEqual(invalid);
    expect((await reports(good)).status).toBe(200);
  });

  it('with a kid that names no key, or one that does not sign yet, is refused', async () => {
    const { key, standby, header, claims } = world;
    const kids = [
      ...['__proto__', 'constructor', 'toString', '1', '1-', '0-AAAAAAAA', 'a'.repeat(64), standby.kid],
      // Almost ours.
      ...[`0${key.kid}`, `-${key.kid}`, `${key.kid}_`, key.kid.slice(0, -1), key.kid.replace(/.$/, swappedCase)],
    ];
    const tokens = [
      ...kids.map((kid) => forge({ ...header, kid }, claims, signedBy(key.privateKey))),
      forge({ ...header, kid: standby.kid }, claims, signedBy(standby.privateKey)),
    ];

    const answers = await Promise.all(tokens.map((token) => server.ask('/auth/me', { token })));

    expect(answers.map(verdict)).toEqual(tokens.map(() => invalid));
  });

  it('sends nobody out to fetch anything', () => {
    expect(trap.calls()).toBe(0);
  });

  it('makes nothing fail', () => {
    const failures = server.log.filter(
      (line) => /^(error|warn|fatal)/.test(line) && !line.includes('/reports/mistake'),
    );

    expect(failures).toEqual([]);
  });

  it('leaves nothing of itself in the log', () => {
    expect(server.log.join('\n')).not.toMatch(/eyJ|UNION SELECT|BEGIN PUBLIC KEY/);
  });
});

describe('a token past its time', () => {
  let token: string;
  beforeAll(async () => {
    token = (await server.login('carl')).access_token;
  });
  afterAll(() => clockAhead(0));

  async function clockAhead(by: number): Promise<void> {
    await database.setClockOffset(by);
    await server.hearNews();
  }

  it('is good for as long as clocks may differ', async () => {
    await clockAhead(15 * minute + 25_000);

    expect((await reports(token)).status).toBe(200);
  });

  it('is told that it expired', async () => {
    await clockAhead(15 * minute + 31_000);

    expect(verdict(await reports(token))).toEqual(expired);
  });

  it('is told nothing but that it is invalid when its signature is wrong', async () => {
    await clockAhead(15 * minute + 31_000);

    expect(verdict(await reports(`${token.slice(0, -4)}AAAA`))).toEqual(invalid);
  });

  it('is told nothing but that it is invalid when it is not for us', async () => {
    const world = await worldOf(server, 'carl');
    await clockAhead(31 * minute);

    expect(verdict(await reports(withClaims({ aud: 'x' })(world)))).toEqual(invalid);
  });
});

describe('a well-signed token', () => {
  const signed = (claims: Readonly<Record<string, unknown>>, typ = 'at+jwt'): Promise<string> => {
    const signer = server.app.get(KeyRing).signer();
    return signer ? server.app.get(KeyVault).sign(signer, claims, typ) : Promise.reject(new Error('nothing signs'));
  };

  it('of another type that we sign is no access token', async () => {
    const token = await signed(readToken(clerk).claims, 'checkpoint+jwt');

    expect(verdict(await reports(token))).toEqual(invalid);
  });

  it('for the session of somebody else is refused', async () => {
    const token = await signed({ ...readToken(clerk).claims, sid: readToken(hr).claims['sid'] });

    expect(verdict(await reports(token))).toEqual(invalid);
  });

  it('for a session that has ended is refused at once', async () => {
    const { access_token: token } = await server.login('carl');
    expect((await reports(token)).status).toBe(200);

    await server.ask('/auth/logout', { method: 'POST', token });

    expect(verdict(await reports(token))).toEqual(invalid);
    expect(verdict(await reports(await signed(readToken(token).claims)))).toEqual(invalid);
  });

  it('of a user whose roles have changed since is refused', async () => {
    const superuser = await database.connect('superuser');
    await server.createUser({ username: 'rita' });
    const { access_token: token } = await server.login('rita');
    expect((await reports(token)).status).toBe(200);

    await superuser.query(`UPDATE keyturn.users SET roles = '{sales}' WHERE username = 'rita'`);
    await server.hearNews();

    expect(verdict(await reports(token))).toEqual(invalid);
  });

  it('of a user who was disabled is refused', async () => {
    const superuser = await database.connect('superuser');
    await server.createUser({ username: 'dora' });
    const { access_token: token } = await server.login('dora');
    expect((await reports(token)).status).toBe(200);

    await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'dora'`);
    await server.hearNews();

    expect(verdict(await reports(token))).toEqual(invalid);
  });

  it('of a user who was deleted is refused', async () => {
    const superuser = await database.connect('superuser');
    await server.createUser({ username: 'otto' });
    const { access_token: token } = await server.login('otto');
    expect((await reports(token)).status).toBe(200);

    await superuser.query(`DELETE FROM keyturn.users WHERE username = 'otto'`);
    await server.hearNews();

    expect(verdict(await reports(token))).toEqual(invalid);
  });

  it('cannot give itself roles that the user has not', async () => {
    const token = await signed({ ...readToken(clerk).claims, roles: ['hr'] });

    expect((await server.ask('/reports/payroll', { token })).status).not.toBe(200);
  });
});

it('a password is no token', async () => {
  expect(members((await reports(PASSWORD)).body)['code']).toBe('invalid_token');
});

describe.each<readonly [string, readonly Hostile[]]>([
  ['ES256', HOSTILE_ES256_TOKENS],
  ['HS256', HOSTILE_HS256_TOKENS],
])('under a key of %s', (algorithm, hostile) => {
  let elsewhere: TestDatabase;
  let other: TestApp;
  let world: World;
  beforeAll(async () => {
    elsewhere = await createTestDatabase();
    other = await startTestApp({ database: elsewhere, settings: { KEY_ALGORITHM: algorithm } });
    await other.createUser({ username: 'carl' });
    world = await worldOf(other, 'carl');
  });
  afterAll(async () => {
    await other?.close();
    await elsewhere?.drop();
  });

  it('a token that was issued is good', async () => {
    expect(world.header).toMatchObject({ alg: algorithm });
    expect((await other.ask('/auth/me', { token: world.good })).status).toBe(200);
  });

  it('signature and secret are of the length that RFC 7518 asks for', () => {
    const signature = Buffer.from(readToken(world.good).signature, 'base64url');
    const { privateKey } = world.key;

    expect(signature).toHaveLength(algorithm === 'ES256' ? 64 : 32);
    // Sections 3.2 and 3.4: the secret is no shorter than the hash; r and s of 32 bytes each.
    expect(privateKey.type === 'secret' ? privateKey.symmetricKeySize : 32).toBe(32);
  });

  it.each(hostile)('a token with %s is refused (%s)', async (_what, reason, make) => {
    const refusal = { ...invalid, reason };

    expect(await refusalsBy(other, make(world))).toEqual([refusal, refusal]);
  });
});

it('a server does not start when a route or a controller says that it is open and guarded at once', async () => {
  @Controller('torn')
  class TornController {
    @Get()
    @Public()
    @Roles('hr')
    read(): string {
      return 'torn';
    }
  }
  @Controller('torn/again')
  @Public()
  @FreshLogin()
  class TornAgainController {
    @Get()
    read(): string {
      return 'torn';
    }
  }
  @Module({ controllers: [TornController, TornAgainController] })
  class TornModule {}

  await expect(startTestApp({ database, features: [TornModule] })).rejects.toThrow(
    'Choose one of the two:\n' +
      '  - TornController.read says @Public() and @Roles()\n' +
      '  - TornAgainController says @Public() and @FreshLogin()\n' +
      'See docs/guarding-routes.md.',
  );
});

describe('two applications in one process', () => {
  it('judge each by its own keys and sessions', async () => {
    const elsewhere = await createTestDatabase();
    const other = await startTestApp({ database: elsewhere });
    try {
      await other.createUser({ username: 'carl' });
      const { access_token: foreign } = await other.login('carl');

      expect((await other.ask('/auth/me', { token: foreign })).status).toBe(200);
      expect((await other.ask('/auth/me', { token: clerk })).status).toBe(401);
      expect((await reports(clerk)).status).toBe(200);
      expect((await reports(foreign)).status).toBe(401);
    } finally {
      await other.close();
      await elsewhere.drop();
    }
  });
});

interface Trap {
  readonly url: string;
  calls(): number;
  close(): Promise<void>;
}

/** A listener on this machine where nobody must ever call. */
async function openTrap(): Promise<Trap> {
  let calls = 0;
  const listener: Server = createTcpServer((socket) => {
    calls++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    calls: () => calls,
    close: () => new Promise((resolve) => listener.close(() => resolve())),
  };
}
