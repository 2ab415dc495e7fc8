import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Tally } from '../../src/common/tally.js';
import { PasswordHasher } from '../../src/users/password/password-hasher.js';
import { members, startTestApp, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { exampleOf, filled, openApiDocument, operationsOf, type Described } from './described.js';

let database: TestDatabase;
let server: TestApp;
let operations: readonly Described[];
let token: string;
/** How often argon2 was asked. */
let hashes = 0;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  operations = operationsOf(openApiDocument.parse((await server.ask('/docs/openapi.json')).body));
  await server.createUser({ username: 'root', roles: ['admin'] });
  token = (await server.login('root')).access_token;
  await server.ask('/auth/me', { token });
  countHashes();
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

function countHashes(): void {
  const hasher = server.app.get(PasswordHasher);
  const engine: object = Object(Reflect.get(hasher, 'engine'));
  Reflect.set(hasher, 'engine', {
    ...engine,
    hash: (...asked: unknown[]): unknown => (hashes++, Reflect.apply(Reflect.get(engine, 'hash'), engine, asked)),
    verify: (...asked: unknown[]): unknown => (hashes++, Reflect.apply(Reflect.get(engine, 'verify'), engine, asked)),
  });
}

/** Stands in every body that is refused, and may stand in no line of the log. */
const MARK = 'lighthouse-keeper';

const values = { id: '00000000-0000-4000-8000-000000000000', sessionId: '00000000-0000-4000-8000-000000000000' };
const isOpen = ({ security }: Described): boolean => !security.some((way) => 'bearer' in way);

/** Asks every operation of a kind the same way; what came back, without repetition, and what it cost the database. */
async function askEach(
  chosen: (operation: Described) => boolean,
  options: (operation: Described) => AskOptions,
): Promise<{ answers: ReadonlySet<string>; statements: readonly string[]; hashes: number }> {
  server.statements.length = 0;
  hashes = 0;
  const asked = operations.filter(chosen).map(async (operation) => {
    const { method, path } = operation;
    const answer: Answer = await server.ask(filled(path, { ...values, kid: '9-AAAAAAAA' }), {
      method,
      ...(!isOpen(operation) && { token }),
      ...options(operation),
    });
    const type = answer.headers.get('content-type')?.split(';')[0];
    return `${type} ${answer.status} ${String(members(answer.body)['code'])}`;
  });
  return { answers: new Set(await Promise.all(asked)), statements: [...server.statements], hashes };
}

const refusedAs = (words: string) => ({
  answers: new Set([`application/problem+json ${words}`]),
  statements: [],
  hashes: 0,
});
const hasBody = ({ requestBody }: Described): boolean => requestBody !== undefined;
const mayHaveBody = ({ method }: Described): boolean => method !== 'GET';
const sent = (body: string | Uint8Array<ArrayBuffer>, type = 'application/json'): AskOptions => ({
  body,
  headers: { 'content-type': type, 'sec-fetch-site': 'same-origin' },
});

it('a member that is not known is refused by every route that takes a body; nothing is asked of the database, and no password hashed', async () => {
  const more = (operation: Described): AskOptions =>
    sent(JSON.stringify({ ...members(exampleOf(operation)), [MARK]: MARK, roles: [{ $ne: '' }] }));
  expect(await askEach(hasBody, more)).toEqual(refusedAs('400 validation_failed'));
});

it.each([
  ['a list', '[]'],
  ['a text', `"${MARK}"`],
  ['a number', '1'],
  ['lists 7,000 deep', '['.repeat(7_000) + ']'.repeat(7_000)],
])('%s for a body is refused by every route that takes one', async (_what, body) => {
  expect(await askEach(hasBody, () => sent(body))).toEqual(refusedAs('400 validation_failed'));
});

it.each<readonly [string, string | Uint8Array<ArrayBuffer>]>([
  ['cut off', `{"${MARK}":`],
  ['with more behind it', `{"reason":"x"}${MARK}`],
  ['with a byte order mark alone', '\uFEFF'],
  ['with a prototype in it', '{"__proto__":{"admin":true}}'],
  ['no UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
])('a body that is %s is refused by every route, wanted or not', async (_what, body) => {
  expect(await askEach(mayHaveBody, () => sent(body))).toEqual(refusedAs('400 malformed_json'));
});

it('more than 16 KiB is refused by every route', async () => {
  const large = JSON.stringify({ reason: MARK.repeat(60_000) });
  expect(await askEach(mayHaveBody, () => sent(large))).toEqual(refusedAs('413 payload_too_large'));
});

it.each(['text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded'])(
  '%s is refused by every route',
  async (type) => {
    expect(await askEach(mayHaveBody, () => sent(MARK, type))).toEqual(refusedAs('415 unsupported_media_type'));
  },
);

it('a body in another encoding is refused by every route, and not unpacked', async () => {
  const packed = (): AskOptions => ({
    body: new Uint8Array(gzipSync(JSON.stringify({ reason: MARK }))),
    headers: { ...sent('').headers, 'content-encoding': 'gzip' },
  });
  expect(await askEach(mayHaveBody, packed)).toEqual(refusedAs('415 unsupported_media_type'));
});

it('another method is refused by every address, which says what it takes', async () => {
  server.statements.length = 0;
  for (const path of new Set(operations.map((operation) => operation.path))) {
    const { status, headers, body } = await server.ask(filled(path, { ...values, kid: '9-AAAAAAAA' }), {
      method: 'PUT',
    });
    expect([path, status, members(body)['code']]).toEqual([path, 405, 'method_not_allowed']);
    const taken = operations.filter((operation) => operation.path === path).map(({ method }) => method);
    expect(headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(taken));
  }
  expect(server.statements).toEqual([]);
});

it('an address with a slash too many is another one, at which there is nothing, whatever the method', async () => {
  for (const method of ['GET', 'POST', 'PUT']) {
    const { status, headers, body } = await server.ask('/auth/me/', { method, token });
    expect([status, members(body)['code'], headers.get('allow')]).toEqual([404, 'not_found', null]);
  }
});

it('a JSON body that DELETE has no use for changes nothing, and is not looked at', async () => {
  const { access_token: own } = await server.login('root');
  const { body } = await server.ask('/auth/sessions', { token: own });
  const options = { method: 'DELETE', token: own, ...sent('{"all":true}') };
  expect((await server.ask(`/auth/sessions/${values.sessionId}`, options)).status).toBe(404);
  expect((await server.ask('/auth/sessions', { token: own })).body).toEqual(body);
});

it('POST /auth/logout with a JSON content type and no body is 204', async () => {
  const { access_token: own } = await server.login('root');
  const headers = { 'content-type': 'application/json' };
  expect((await server.ask('/auth/logout', { method: 'POST', token: own, headers })).status).toBe(204);
  expect((await server.ask('/auth/me', { token: own })).status).toBe(401);
});

const FORM = 'application/x-www-form-urlencoded';
const forms: readonly (readonly [path: string, fields: string])[] = [
  ['/login', 'username=root&password=x'],
  ['/setup', 'code=x&username=root&password=x'],
  ['/redeem', 'code=x&password=x'],
];

describe.each(forms)('the form %s', (path, fields) => {
  it.each<readonly [string, string | Uint8Array<ArrayBuffer>, string, number]>([
    ['a field that is not known', `${fields}&${MARK}=1`, FORM, 400],
    ['a role', `${fields}&roles=admin`, FORM, 400],
    ['a prototype', `${fields}&__proto__=x&__proto__[admin]=1`, FORM, 400],
    ['a field twice', `${fields}&password=y`, FORM, 400],
    ['a field for a list', `${fields}&password[]=y`, FORM, 400],
    ['nothing at all', '', FORM, 400],
    ['a name alone', 'password', FORM, 400],
    ['more than 16 KiB', `${fields}&return=${MARK.repeat(2_000)}`, FORM, 413],
    ['plain text', fields, 'text/plain', 415],
    ['files', '--x--', 'multipart/form-data; boundary=x', 415],
    ['JSON cut off', `{"${MARK}`, 'application/json', 400],
    ['a list in JSON', '[]', 'application/json', 400],
  ])('with %s is refused, and nothing is hashed', async (_what, body, type, status) => {
    hashes = 0;
    const answer = await server.ask(path, { method: 'POST', ...sent(body, type) });
    expect([answer.status, members(answer.body)['status'], hashes]).toEqual([status, status, 0]);
  });

  it.each<readonly [string, Uint8Array<ArrayBuffer>]>([
    ['bytes that are no UTF-8', new TextEncoder().encode(`${fields}%FF%FE%C0%AF`)],
    ['such bytes unescaped', Uint8Array.from([...new TextEncoder().encode(fields), 0xff, 0xfe, 0xc0, 0xaf])],
    ['a percent sign and nothing behind it', new TextEncoder().encode(`${fields}%`)],
    ['half a surrogate pair', new TextEncoder().encode(`${fields}%ED%A0%80`)],
    ['NUL', new TextEncoder().encode(`${fields}%00`)],
  ])('with %s lets nobody in, and fails nowhere', async (_what, body) => {
    const answer = await server.ask(path, { method: 'POST', ...sent(body, FORM) });
    expect([400, 401]).toContain(answer.status);
    expect(answer.headers.getSetCookie()).toEqual([]);
  });

  it('takes no other method', async () => {
    for (const method of ['PUT', 'PATCH', 'DELETE'])
      expect((await server.ask(path, { method, ...sent(fields, FORM) })).status).toBe(405);
  });
});

it('the form /logout wants to come from here, whatever it carries', async () => {
  const post = (options: AskOptions): Promise<Answer> => server.ask('/logout', { method: 'POST', ...options });
  expect((await post({ body: MARK, headers: { 'content-type': FORM } })).status).toBe(403);
  expect((await post(sent(MARK, 'text/plain'))).status).toBe(415);
  expect((await post(sent(MARK.repeat(2_000), FORM))).status).toBe(413);
  expect((await post(sent(`__proto__=${MARK}`, FORM))).status).toBe(400);
  expect((await post(sent(`x[y]=${MARK}`, FORM))).status).toBe(303);
  expect((await server.ask('/logout', { method: 'PUT' })).status).toBe(405);
});

it('a client that hangs up in the middle of its body is not taken for a lost database', async () => {
  const problems = server.app.get(Tally).of('problems');
  const seen = (): number => [...problems.values()].reduce((sum, count) => sum + count, 0);
  const [before, malformed = 0] = [seen(), problems.get('invalid_request')];
  const { hostname, port } = new URL(server.url);
  const head =
    'POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"username":';
  const socket = connect(Number(port), hostname, () => socket.write(head, () => socket.resetAndDestroy()));
  while (seen() === before) await new Promise((resolve) => setImmediate(resolve));

  expect([problems.get('invalid_request'), problems.get('database_unavailable')]).toEqual([malformed + 1, undefined]);
});

it('of all this the log has no failure, no warning, and not a word that was sent', () => {
  expect(server.log.filter((line) => /^(error|fatal|warn)/.test(line))).toEqual([]);
  expect(server.log.join('\n')).not.toContain(MARK);
});
