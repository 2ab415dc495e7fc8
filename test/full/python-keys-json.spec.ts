import { fileURLToPath } from 'node:url';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { SYSTEM } from '../../src/database/change.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { readToken } from '../support/tokens.js';
import { keyturnBeside, run, temporaryFolder, type Folder } from '../exchange/support/cli.js';
import { pythonWithPyJwt } from '../exchange/support/python.js';

jest.setTimeout(60_000);

const script = (name: string): string => fileURLToPath(new URL(`../exchange/${name}`, import.meta.url));
const python = await pythonWithPyJwt();
const withPython = python === undefined ? it.skip : it;

let database: TestDatabase;
let server: TestApp;
let folder: Folder;
let keyturn: ReturnType<typeof keyturnBeside>;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'RS256' } });
  await server.createUser({ username: 'anna' });
  folder = await temporaryFolder();
  keyturn = keyturnBeside(server, database);
});
afterAll(async () => {
  await folder.remove();
  await server.close();
  await database.drop();
});

const rotate = async (): Promise<void> => {
  await server.app.get(KeyRotation).rotate(SYSTEM, { force: true });
  await server.hearNews(); // and the next standby is published
};
const login = async (): Promise<string> => (await server.login('anna')).access_token;

withPython('a Python program with our keys.json accepts our tokens, before rotations and after them', async () => {
  const path = join(folder.path, 'ours.json');
  const decode = async (...tokens: readonly string[]): Promise<readonly string[]> => {
    const said = await run(python ?? '', [script('verify_tokens.py'), path, server.url], { input: tokens.join('\n') });
    expect(said).toMatchObject({ code: 0, err: '' });
    return said.out.trim().split('\n');
  };
  const exportKeys = async (): Promise<void> => {
    expect(await keyturn(['keys', 'export', '--format', 'keys.json', '--out', path])).toMatchObject({
      code: 0,
      out: '',
    });
  };

  const first = await login();
  const sub = String(readToken(first).claims['sub']);
  await exportKeys();
  expect(await decode(first)).toEqual([sub]);

  // The standby was in the list already.
  await rotate();
  const second = await login();
  expect(readToken(second).header['kid']).not.toBe(readToken(first).header['kid']);
  expect(await decode(first, second)).toEqual([sub, sub]);

  // One that was published after the export is not; it is after the next.
  await rotate();
  const third = await login();
  expect(await decode(first, second, third)).toEqual([sub, sub, 'KeyError']);
  await exportKeys();
  expect(await decode(first, second, third)).toEqual([sub, sub, sub]);
  expect(await decode(`${third.slice(0, -8)}AAAAAAAA`)).toEqual(['InvalidSignatureError']);
});

withPython(
  'a list that a Python program wrote is imported, and its tokens are judged by signature and exp',
  async () => {
    const path = join(folder.path, 'theirs.json');
    const written = await run(python ?? '', ['-W', 'ignore', script('write_key_list.py'), path]);
    expect(written).toMatchObject({ code: 0, err: '' });
    const [newest = '', older = ''] = written.out.trim().split('\n');
    expect(await readFile(path, 'utf8')).toMatch(/"kid": 2.*"created_at": "[0-9T:.-]+"/);

    const { code, out } = await keyturn(['keys', 'import', path, '--verify-only', '--reason', 'the old program']);

    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^2 \(RS256\) verifies until .*\n1 \(RS256\) verifies until /),
    ]);
    const { keys } = await server.app.get(SigningKeyStore).all();
    const imported = keys.filter(({ signs }) => !signs);
    expect(imported.map(({ kid }) => kid)).toEqual(['2', '1']);
    for (const key of imported) expect((key.expiresAt ?? 0) - key.activatesAt).toBe(61 * 24 * 60 * 60_000);
    for (const token of [newest, older]) {
      const said = await keyturn(['token', 'inspect'], token);
      expect([said.code, said.out]).toEqual([0, expect.stringMatching(/By its signature and exp alone, it is good/)]);
      expect(said.out + said.err).not.toContain(token.split('.')[2]);
    }
  },
);
