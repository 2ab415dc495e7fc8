import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { members, startTestApp, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { exampleOf, filled, openApiDocument, operationsOf, type Described } from './described.js';

let database: TestDatabase;
let server: TestApp;
let operations: readonly Described[];
let token: string;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database });
  operations = operationsOf(openApiDocument.parse((await server.ask('/docs/openapi.json')).body));
  await server.createUser({ username: 'root', roles: ['admin'] });
  token = (await server.login('root')).access_token;
  await server.ask('/auth/me', { token });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const values = { id: '00000000-0000-4000-8000-000000000000', sessionId: '00000000-0000-4000-8000-000000000000' };
const isOpen = ({ security }: Described): boolean => !security.some((way) => 'bearer' in way);

/** Asks every operation of a kind the same way; what came back, without repetition, and what it cost the database. */
async function askEach(
  chosen: (operation: Described) => boolean,
  options: (operation: Described) => AskOptions,
): Promise<{ answers: ReadonlySet<string>; statements: readonly string[] }> {
  server.statements.length = 0;
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
  return { answers: new Set(await Promise.all(asked)), statements: [...server.statements] };
}

const refusedAs = (words: string) => ({ answers: new Set([`application/problem+json ${words}`]), statements: [] });
const hasBody = ({ requestBody }: Described): boolean => requestBody !== undefined;
const mayHaveBody = ({ method }: Described): boolean => method !== 'GET';
const sent = (body: string | Uint8Array<ArrayBuffer>, type = 'application/json'): AskOptions => ({
  body,
  headers: { 'content-type': type, 'sec-fetch-site': 'same-origin' },
});

it('a member that is not known is refused by every route that takes a body, and the database is not asked', async () => {
  const more = (operation: Described): AskOptions =>
    sent(JSON.stringify({ ...members(exampleOf(operation)), admin: true, roles: [{ $ne: '' }] }));
  expect(await askEach(hasBody, more)).toEqual(refusedAs('400 validation_failed'));
});

it.each([
  ['a list', '[]'],
  ['a text', '"x"'],
  ['a number', '1'],
  ['lists 7,000 deep', '['.repeat(7_000) + ']'.repeat(7_000)],
])('%s for a body is refused by every route that takes one', async (_what, body) => {
  expect(await askEach(hasBody, () => sent(body))).toEqual(refusedAs('400 validation_failed'));
});

it.each<readonly [string, string | Uint8Array<ArrayBuffer>]>([
  ['cut off', '{"reason":'],
  ['with a prototype in it', '{"__proto__":{"admin":true}}'],
  ['no UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
])('a body that is %s is refused by every route, wanted or not', async (_what, body) => {
  expect(await askEach(mayHaveBody, () => sent(body))).toEqual(refusedAs('400 malformed_json'));
});

it('more than 16 KiB is refused by every route', async () => {
  const large = JSON.stringify({ reason: 'x'.repeat(1_000_000) });
  expect(await askEach(mayHaveBody, () => sent(large))).toEqual(refusedAs('413 payload_too_large'));
});

it.each(['text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded'])(
  '%s is refused by every route',
  async (type) => {
    expect(await askEach(mayHaveBody, () => sent('x', type))).toEqual(refusedAs('415 unsupported_media_type'));
  },
);

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

it('nothing of this broke anything', () => {
  expect(server.log.filter((line) => /^(error|fatal)/.test(line))).toEqual([]);
});
