import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { CheckpointSigner } from '../../src/audit/checkpoint-signer.js';
import { DatabaseClock } from '../../src/database/database-clock.js';
import { members, PASSWORD, startTestApp, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import {
  exampleOf,
  openApiDocument,
  operationsOf,
  schemaValidator,
  statusesOf,
  Watch,
  type Described,
  type OpenApiDocument,
} from './described.js';

jest.setTimeout(60_000);

const METRICS_TOKEN = 'for-prometheus-and-nobody-else';

let database: TestDatabase;
let server: TestApp;
let document: OpenApiDocument;
let operations: readonly Described[];
let watch: Watch;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({
    database,
    settings: { LOGIN_ATTEMPTS: '10', METRICS_TOKEN },
  });
  document = openApiDocument.parse((await server.ask('/docs/openapi.json')).body);
  operations = operationsOf(document);
  watch = new Watch(document, server);
  await server.createUser({ username: 'root@example.com', roles: ['admin'] });
  await server.createUser({ username: 'clerk@example.com' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const named = (name: string): Described => {
  const found = operations.find((operation) => operation.name === name);
  if (!found) throw new Error(`the document has no ${name}`);
  return found;
};
const admin = async (): Promise<string> => (await server.login('root@example.com')).access_token;
const documenting = (status: number): readonly Described[] =>
  operations.filter((operation) => statusesOf(operation).includes(status));
const isGuarded = ({ security }: Described): boolean => security.length > 0;

/** What an example leaves open, and the names in its address. */
interface Given {
  readonly username?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly values?: Readonly<Record<string, string>>;
  readonly fill?: Readonly<Record<string, string>>;
}

const someone = async (username: string): Promise<{ id: string; username: string }> => {
  const { id } = await server.createUser({ username });
  return { id, username };
};
const idOf = (answer: Answer): string => String(members(members(answer.body)['user'])['id']);
const sessionOf = (token: string): string =>
  String(members(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()))['sid']);
const kidOf = async (version: number): Promise<string> =>
  (await server.openKeys()).find((key) => key.version === version)?.kid ?? '';

/** What a browser adds to what a page of ours sends. */
const FROM_OUR_PAGE = { 'sec-fetch-site': 'same-origin' };

/** A login in cookies. */
async function cookies(username: string): Promise<Readonly<Record<string, string>>> {
  const json = { username, password: PASSWORD };
  const { headers } = await server.ask('/session', { json, headers: FROM_OUR_PAGE });
  return {
    ...FROM_OUR_PAGE,
    cookie: headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; '),
  };
}

/** Every operation, in an order in which its example is answered well. A new route wants a line here. */
const EXAMPLES: Readonly<Record<string, () => Promise<Given>>> = {
  'GET /health/live': async () => ({}),
  'GET /health/ready': async () => ({}),
  'GET /metrics': async () => ({ token: METRICS_TOKEN }),
  'GET /.well-known/jwks.json': async () => ({}),
  'GET /.well-known/oauth-authorization-server': async () => ({}),
  'POST /auth/login': async () => {
    await someone('anna@example.com');
    return {};
  },
  'POST /auth/refresh': async () => ({
    fill: { '<refresh_token>': (await server.login('anna@example.com')).refresh_token },
  }),
  'POST /session': async () => ({ headers: FROM_OUR_PAGE }),
  'POST /session/refresh': async () => ({ headers: await cookies('anna@example.com') }),
  'DELETE /session': async () => ({ headers: await cookies('anna@example.com') }),
  'GET /auth/me': async () => ({ username: 'anna@example.com' }),
  'GET /auth/sessions': async () => ({ username: 'anna@example.com' }),
  'DELETE /auth/sessions/{id}': async () => ({
    username: 'anna@example.com',
    values: { id: sessionOf((await server.login('anna@example.com')).access_token) },
  }),
  'POST /auth/logout': async () => ({ username: 'anna@example.com' }),
  'POST /auth/logout-all': async () => ({ username: 'anna@example.com' }),
  'POST /auth/password': async () => ({ username: 'anna@example.com' }),
  'POST /users': async () => ({}),
  'GET /users': async () => ({}),
  'GET /users/{id}': async () => ({ values: await someone('carl') }),
  'PATCH /users/{id}': async () => ({ values: await someone('dora') }),
  'POST /users/{id}/disable': async () => ({ values: await someone('emil') }),
  'POST /users/{id}/enable': async () => ({ values: await someone('fritz') }),
  'POST /users/{id}/reset': async () => ({ values: await someone('gerda') }),
  'POST /auth/redeem': async () => {
    const invited = await server.ask('/users', { token: await admin(), json: { username: 'hans' } });
    expect(idOf(invited)).not.toBe('');
    return { fill: { '<code>': String(members(invited.body)['code']) } };
  },
  'GET /users/{id}/sessions': async () => ({ values: await someone('ida') }),
  'DELETE /users/{id}/sessions': async () => ({ values: await someone('jan') }),
  'DELETE /users/{id}/sessions/{sessionId}': async () => {
    const { id } = await someone('karl');
    return { values: { id, sessionId: sessionOf((await server.login('karl')).access_token) } };
  },
  'GET /keys': async () => ({}),
  'GET /keys/plan': async () => ({}),
  'POST /keys/rotate': async () => ({}),
  'POST /keys/{kid}/revoke': async () => ({ values: { kid: await kidOf(1) } }),
  'POST /keys/replace-standby': async () => {
    await server.hearNews();
    await server.tick();
    return {};
  },
  'POST /keys/renew': async () => ({}),
  'GET /keys/history': async () => ({}),
  'GET /history/verify': async () => ({}),
  'GET /history/checkpoint': async () => ({}),
};

const withFills = (example: unknown, fill: Readonly<Record<string, string>> = {}): unknown =>
  JSON.parse(
    Object.entries(fill).reduce((text, [place, value]) => text.replaceAll(place, value), JSON.stringify(example)),
  );

describe('the document', () => {
  it('has schemas that are schemas, and refers to nothing that it has not', () => {
    const validator = schemaValidator(document);
    const schemas = [
      ...Object.values(document.components.schemas),
      ...operations
        .flatMap(({ requestBody, responses }) =>
          [...Object.values(responses), requestBody].flatMap((part) => Object.values(part?.content ?? {})),
        )
        .flatMap(({ schema }) => (schema === undefined ? [] : [schema])),
    ];
    for (const schema of schemas) expect(validator(schema)).toBeInstanceOf(Function);
  });

  it('names every operation once', () => {
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  });

  it('describes the names in every address, each of them required', () => {
    for (const { name, path, parameters } of operations) {
      const described = parameters.filter((parameter) => parameter.in === 'path' && parameter.required);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      expect([name, described.map((parameter) => parameter.name)]).toEqual([name, inPath]);
    }
  });

  it('knows the ways in that its operations name', () => {
    const used = new Set(operations.flatMap(({ security }) => security.flatMap((way) => Object.keys(way))));
    expect([...used].filter((way) => !(way in document.components.securitySchemes))).toEqual([]);
    expect(used).toContain('bearer');
  });

  it('shows an example for every body, and each fits its own schema', () => {
    const validator = schemaValidator(document);
    for (const described of operations.filter(({ requestBody }) => requestBody)) {
      const valid = validator(described.requestBody?.content['application/json']?.schema);
      valid(exampleOf(described));
      expect([described.name, valid.errors]).toEqual([described.name, null]);
    }
  });

  it('has an example of every operation tried below', () => {
    expect(Object.keys(EXAMPLES).toSorted()).toEqual(operations.map(({ name }) => name).toSorted());
  });
});

describe('an example', () => {
  it.each(Object.entries(EXAMPLES))('of %s works', async (name, prepare) => {
    const described = named(name);
    const { username = 'root@example.com', token, values = {}, headers = {}, fill } = await prepare();
    const example = exampleOf(described);

    const { status, body } = await watch.ask(
      described,
      {
        headers,
        ...(isGuarded(described) &&
          headers['cookie'] === undefined && { token: token ?? (await server.login(username)).access_token }),
        ...(example !== undefined && { json: withFills(example, fill) }),
      },
      values,
    );

    expect({ status, body }).toMatchObject({ status: Math.min(...statusesOf(described)) });
  });
});

/** Asks every operation that may answer so, with its example. */
async function askAll(status: number, options: (described: Described) => AskOptions | Promise<AskOptions>) {
  const values = { id: '00000000-0000-4000-8000-000000000000', sessionId: '00000000-0000-4000-8000-000000000000' };
  const asked = documenting(status).map(async (described) => {
    const example = exampleOf(described);
    const given = { ...(example !== undefined && { json: example }), ...(await options(described)) };
    return (await watch.ask(described, given, { ...values, kid: '9-AAAAAAAA' })).status;
  });
  return new Set(await Promise.all(asked));
}

const asJson = (body: string): AskOptions => ({
  json: undefined,
  body,
  headers: { 'content-type': 'application/json' },
});

describe('an error', () => {
  it('400 is the answer to no token after Bearer, and to a body that is no JSON', async () => {
    const answers = await askAll(400, (described) =>
      described.security.some((way) => 'bearer' in way || 'metricsToken' in way)
        ? { json: undefined, headers: { authorization: 'Bearer ' } }
        : asJson('{'),
    );
    expect(answers).toEqual(new Set([400]));
  });

  it('401 is the answer to nobody', async () => {
    const nobody = { username: 'nobody', password: PASSWORD };
    const answers = await askAll(401, ({ name }) =>
      / \/(session|auth\/login)$/.test(name) ? { json: nobody, headers: FROM_OUR_PAGE } : {},
    );
    expect(answers).toEqual(new Set([401]));
  });

  it('403 is the answer to a clerk, and to what another site sends with our cookie', async () => {
    const { access_token: token } = await server.login('clerk@example.com');
    const elsewhere = { ...(await cookies('clerk@example.com')), 'sec-fetch-site': 'cross-site' };
    const administers = (name: string): boolean => / \/(keys|users|history)/.test(name);
    expect(await askAll(403, ({ name }) => (administers(name) ? { token } : { headers: elsewhere }))).toEqual(
      new Set([403]),
    );
  });

  it('404 is the answer where there is no such thing', async () => {
    const token = await admin();
    const signer = jest.spyOn(server.app.get(CheckpointSigner), 'newest', 'get').mockReturnValue(undefined);
    const metrics = jest.replaceProperty(server.config, 'metrics', { token: undefined, bind: undefined });
    expect(await askAll(404, () => ({ token }))).toEqual(new Set([404]));
    signer.mockRestore();
    metrics.restore();
  });

  it('413 is the answer to more than 16 KiB', async () => {
    expect(await askAll(413, () => asJson(JSON.stringify('x'.repeat(17_000))))).toEqual(new Set([413]));
  });

  it('415 is the answer to plain text', async () => {
    const text = { json: undefined, body: 'x', headers: { 'content-type': 'text/plain' } };
    expect(await askAll(415, () => text)).toEqual(new Set([415]));
  });

  it.each<readonly [string, () => Promise<AskOptions & { values?: Given['values']; query?: string }>]>([
    ['POST /users', async () => ({ json: { username: 'ROOT@example.com' } })],
    ['PATCH /users/{id}', async () => ({ json: { username: 'root@example.com' }, values: await someone('lena') })],
    ['POST /users/{id}/disable', async () => ({ json: {}, values: await rootsId() })],
    ['GET /keys/plan', async () => ({ query: 'set=ACCESS_TOKEN_TTL=2h&set=KEY_MAX_TOKEN_TTL=2h' })],
    ['POST /keys/rotate', async () => ({ json: { fromVersion: 999 } })],
    ['POST /keys/{kid}/revoke', async () => ({ json: { reason: 'again' }, values: { kid: await revokedKid() } })],
    ['POST /keys/replace-standby', async () => (await strangerReplica(), { json: {} })],
    ['POST /keys/renew', async () => ({ json: {} })],
  ])('409 is an answer of %s', async (name, prepare) => {
    const { values, query = '', ...options } = await prepare();
    const described = named(name);
    const asked = { ...described, path: `${described.path}?${query}` };
    const { status, body } = await watch.ask(asked, { token: await admin(), ...options }, values);
    expect({ status, body }).toMatchObject({ status: 409 });
  });

  it('409 is the answer to a first administrator whose name is taken', async () => {
    const superuser = await database.connect('superuser');
    await superuser.query(`UPDATE keyturn.users SET roles = '{}' WHERE username = 'root@example.com'`);
    const code = await server.app.get(OneTimeCodes).issueSetupCode();
    const json = { code, username: 'clerk@example.com', password: 'eleven kettles under a green roof' };
    const { status } = await watch.ask(named('POST /auth/redeem'), { json });
    await superuser.query(`UPDATE keyturn.users SET roles = '{admin}' WHERE username = 'root@example.com'`);
    await server.hearNews();
    expect(status).toBe(409);
  });

  it('304 is the answer to who has the keys already', async () => {
    const keys = named('GET /.well-known/jwks.json');
    const { headers } = await watch.ask(keys);
    const { status } = await watch.ask(keys, { headers: { 'if-none-match': headers.get('etag') ?? '' } });
    expect(status).toBe(304);
  });

  it('503 is the answer while the database cannot be heard', async () => {
    const token = await admin();
    const { refresh_token } = await server.login('clerk@example.com');
    const browser = await cookies('clerk@example.com');
    const superuser = await database.connect('superuser');
    const silence = jest.spyOn(server.app.get(DatabaseClock), 'silence').mockReturnValue(3_600_000);
    await superuser.query(
      'BEGIN; LOCK TABLE keyturn.users, keyturn.sessions, keyturn.one_time_codes IN ACCESS EXCLUSIVE MODE',
    );
    const answers = await askAll(503, ({ name }) => ({
      ...(name.includes(' /session') ? { headers: browser } : { token }),
      ...(name === 'POST /auth/refresh' && { json: { refresh_token } }),
    }));
    await superuser.query('ROLLBACK');
    silence.mockRestore();
    expect(answers).toEqual(new Set([503]));
  });

  it.each<readonly [string, object, readonly number[]]>([
    ['POST /auth/login', { username: 'mallory', password: 'wrong wrong wrong' }, [401, 429]],
    ['POST /session', { username: 'mallory-too', password: 'wrong wrong wrong' }, [401, 429]],
    ['POST /auth/redeem', { code: 'wrong', password: 'wrong wrong wrong' }, [400, 429]],
    ['POST /auth/password', { currentPassword: 'wrong', newPassword: 'eleven kettles under a roof' }, [401, 429]],
  ])('429 is the answer to who guesses on and on by %s', async (name, json, statuses) => {
    const { access_token: token } = await server.login('clerk@example.com');
    const seen = new Set<number>();
    for (let attempt = 0; attempt < 20 && !seen.has(429); attempt++) {
      const headers = name === 'POST /session' ? FROM_OUR_PAGE : undefined;
      const options = { json, ...(headers ? { headers } : { token }) };
      seen.add((await watch.ask(named(name), options)).status);
    }
    expect([...seen]).toEqual(statuses);
  });
});

it('no answer was seen that the document has not, and none is in the document that was never seen', () => {
  const documented = operations.flatMap((described) =>
    statusesOf(described).map((status) => `${described.name} ${status}`),
  );
  expect(watch.problems).toEqual([]);
  expect(documented.filter((answer) => !watch.seen.has(answer))).toEqual([]);
});

async function rootsId(): Promise<{ id: string }> {
  return { id: String(members((await server.ask('/auth/me', { token: await admin() })).body)['id']) };
}

async function revokedKid(): Promise<string> {
  const superuser = await database.connect('superuser');
  const { rows } = await superuser.query<{ kid: string }>(
    'SELECT kid FROM keyturn.signing_keys WHERE revoked_at IS NOT NULL LIMIT 1',
  );
  return rows[0]?.kid ?? '';
}

/** A running server that does not hold our key-encryption key: nothing new may be sealed. */
async function strangerReplica(): Promise<void> {
  const superuser = await database.connect('superuser');
  await superuser.query(
    `INSERT INTO keyturn.replicas (id, code_version, generation, kek_ids, opens, last_seen_at)
     VALUES (gen_random_uuid(), 'x', 1, '{x}', '{}', keyturn.clock())`,
  );
}
