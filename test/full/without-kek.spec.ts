import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { SYSTEM } from '../../src/database/change.js';
import { KeyReplacement } from '../../src/keys/operations/key-replacement.js';
import { KeyRotation } from '../../src/keys/operations/key-rotation.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { keyturnBeside, temporaryFolder, type Folder } from '../exchange/support/cli.js';
import { ecPair, pem } from '../exchange/support/keys.js';

jest.setTimeout(60_000); // each command is a process of its own

const issuer = 'https://login.example.com';

let database: TestDatabase;
let server: TestApp;
let folder: Folder;
let keyturn: ReturnType<typeof keyturnBeside>;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', ISSUER: issuer } });
  await server.createUser({ username: 'anna' });
  folder = await temporaryFolder();
  keyturn = keyturnBeside(server, database, { NODE_ENV: 'production', ISSUER: issuer, KEK: '' });
});
afterAll(async () => {
  await folder.remove();
  await server.close();
  await database.drop();
});

describe('in production, without a key-encryption key', () => {
  it('public keys are imported to verify with, and listed', async () => {
    const path = await folder.write('partner.pem', pem(ecPair('P-256').publicKey, 'spki'));
    const command = ['keys', 'import', path, '--verify-only', '--kid', 'partner', '--expires-at', '2099-01-01'];

    expect(await keyturn(command)).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^partner \(ES256\)/),
    });
    expect(await keyturn(['keys', 'list'])).toMatchObject({ code: 0, out: expect.stringContaining('partner') });
  });

  it('a token is inspected, but not one that a secret signed', async () => {
    const { access_token: token } = await server.login('anna');
    expect(await keyturn(['token', 'inspect'], token)).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringContaining('The guard accepts it, as anna'),
    });

    await server.app.get(KeyReplacement).replaceStandby(SYSTEM, { is: 'generated', algorithm: 'HS256' });
    await server.app.get(KeyRotation).rotate(SYSTEM, { force: true });
    await server.hearNews();
    const { access_token: secret } = await server.login('anna');
    expect(await keyturn(['token', 'inspect'], secret)).toMatchObject({
      code: 1,
      err: expect.stringContaining('KEK_FILE is missing'),
    });
    // Beside such a key, any other token is inspected as before.
    expect(await keyturn(['token', 'inspect'], token)).toMatchObject({ code: 0, err: '' });
  });

  it('a private key is not imported', async () => {
    const path = await folder.write('own.pem', pem(ecPair('P-256').privateKey, 'pkcs8'));

    expect(await keyturn(['keys', 'import', path])).toMatchObject({
      code: 1,
      err: expect.stringContaining('KEK_FILE is missing'),
    });
  });
});
