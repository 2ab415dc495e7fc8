import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import ts from 'typescript';
import { SYSTEM } from '../../src/database/change.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { KeyVault } from '../../src/keys/vault/key-vault.js';
import { run } from '../exchange/support/cli.js';
import { pythonWithPyJwt } from '../exchange/support/python.js';
import { askAt, freePort, startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';

jest.setTimeout(60_000);

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const example = (file: string): string => here(`../examples/verifying/${file}`);
const python = await pythonWithPyJwt();

let database: TestDatabase;
let server: TestApp;
let userId: string;
let good: string;
let afterRotation: string;
/** Each wrong in one thing, and all but the last signed by the key that signs. */
let bad: readonly string[];
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'RS256' } });
  userId = (await server.createUser({ username: 'anna', roles: ['hr'] })).id;
  good = (await server.login('anna')).access_token;
  const { claims } = readToken(good);
  const vault = server.app.get(KeyVault);
  const signer = server.app.get(KeyRing).signer();
  if (!signer) throw new Error('nothing signs');
  const { exp: _exp, ...endless } = claims;
  const wrong = await Promise.all([
    vault.sign(signer, { ...claims, iat: 1_000, exp: 2_000 }, 'at+jwt'),
    vault.sign(signer, { ...claims, iss: 'https://other.example' }, 'at+jwt'),
    vault.sign(signer, { ...claims, aud: 'https://other.example' }, 'at+jwt'),
    vault.sign(signer, claims, 'checkpoint+jwt'),
    vault.sign(signer, endless, 'at+jwt'),
  ]);
  bad = [...wrong, `${good.slice(0, -8)}AAAAAAAA`];
  await server.app.get(KeyRotation).rotate(SYSTEM, { force: true });
  await server.hearNews();
  afterRotation = (await server.login('anna')).access_token;
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const lines = (text: string): string[] => text.trim().split('\n');
const accepted = (): unknown => ({ id: userId, roles: ['hr'] });

/** What a program says of every token: who it is, or the name of an error. */
async function judgements(program: string, script: string): Promise<{ accepted: unknown[]; refused: string[] }> {
  const said = await run(program, [example(script), server.url, good, afterRotation, ...bad]);
  expect(said).toMatchObject({ code: 0, err: '' });
  const [first = '', second = '', ...refused] = lines(said.out);
  return { accepted: [JSON.parse(first), JSON.parse(second)], refused };
}

it('the page shows the very programs that run here', async () => {
  const page = await readFile(here('../../docs/verifying-tokens.md'), 'utf8');
  for (const file of ['verify.mjs', 'verify.py', 'orders.ts']) {
    expect(page).toContain(`\n${await readFile(example(file), 'utf8')}\`\`\``);
  }
});

it('Node with jose accepts what is good, before a rotation and after it, and nothing else', async () => {
  expect(await judgements(process.execPath, 'verify.mjs')).toEqual({
    accepted: [accepted(), accepted()],
    refused: [
      'ERR_JWT_EXPIRED',
      'ERR_JWT_CLAIM_VALIDATION_FAILED',
      'ERR_JWT_CLAIM_VALIDATION_FAILED',
      'ERR_JWT_CLAIM_VALIDATION_FAILED',
      'ERR_JWT_CLAIM_VALIDATION_FAILED',
      'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    ],
  });
});

(python === undefined ? it.skip : it)('so does Python with PyJWT', async () => {
  expect(await judgements(python ?? '', 'verify.py')).toEqual({
    accepted: [accepted(), accepted()],
    refused: [
      'ExpiredSignatureError',
      'InvalidIssuerError',
      'InvalidAudienceError',
      'InvalidTokenError',
      'MissingRequiredClaimError',
      'InvalidSignatureError',
    ],
  });
});

describe('a Nest application in a process of its own', () => {
  let folder: string;
  let orders: ChildProcess;
  let url: string;
  beforeAll(async () => {
    // Beside node_modules, so that its imports are found.
    folder = await mkdtemp(here('../../dist/example-'));
    const source = await readFile(example('orders.ts'), 'utf8');
    const compilerOptions = {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    };
    await writeFile(join(folder, 'orders.mjs'), ts.transpileModule(source, { compilerOptions }).outputText);
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    orders = spawn(process.execPath, [join(folder, 'orders.mjs'), server.url, String(port)], { stdio: 'inherit' });
    for (let attempt = 0; attempt < 200; attempt++) {
      if (await askAt(url, '/orders', {}).catch(() => undefined)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('the example did not start');
  });
  afterAll(async () => {
    if (orders?.kill()) await new Promise((resolve) => orders.once('exit', resolve));
    await rm(folder, { recursive: true, force: true });
  });

  it('accepts what is good, before a rotation and after it', async () => {
    const answers = [
      await askAt(url, '/orders', { token: good }),
      await askAt(url, '/orders', { token: afterRotation }),
    ];
    expect(answers.map(({ body }) => body)).toEqual([accepted(), accepted()]);
  });

  it('and nothing else', async () => {
    const answers = await Promise.all(bad.map((token) => askAt(url, '/orders', { token })));
    expect(answers.map(({ status }) => status)).toEqual(bad.map(() => 401));
    expect((await askAt(url, '/orders', {})).status).toBe(401);
  });
});
