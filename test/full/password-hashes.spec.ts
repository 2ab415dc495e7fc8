import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { PasswordHasher } from '../../src/users/password/password-hasher.js';
import { eventually } from './support/wait.js';
import { only } from '../support/signing-keys.js';
import { PASSWORD, startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database, settings: { PASSWORD_HASH_CONCURRENCY: '1' }, dearHashes: true });
  await server.createUser({ username: 'anna' });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const storedHash = async (): Promise<string> =>
  only(
    await superuser.query<{ hash: string }>(`SELECT password_hash AS hash FROM keyturn.users WHERE username = 'anna'`),
  ).hash;

describe('a stored password hash', () => {
  it('is Argon2id with at least 19 MiB, two passes and one lane', async () => {
    expect(await storedHash()).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  it('is made anew at the next login when its costs have risen, and then stays', async () => {
    const dearer = await startTestApp({
      database,
      dearHashes: true,
      settings: { KEK: server.kek, ISSUER: server.url, PASSWORD_HASH_MEMORY: '20', PASSWORD_HASH_PASSES: '3' },
    });
    try {
      const before = await storedHash();
      await dearer.ask('/auth/login', { json: { username: 'anna', password: 'seven lanterns over quiet wine' } });
      expect(await storedHash()).toBe(before);

      await dearer.login('anna');
      const after = await storedHash();
      expect(after).toMatch(/^\$argon2id\$v=19\$m=20480,t=3,p=1\$/);

      await dearer.login('anna');
      await server.login('anna');
      expect(await storedHash()).toBe(after);
    } finally {
      await dearer.close();
    }
  });
});

describe('a login whose client hangs up', () => {
  it('holds its turn at the hash until the hash has ended', async () => {
    const hashing: (() => void)[] = [];
    const hasher = server.app.get(PasswordHasher);
    const engine: unknown = Reflect.get(hasher, 'engine');
    Reflect.set(hasher, 'engine', {
      verify: () => new Promise<boolean>((resolve) => hashing.push(() => resolve(false))),
    });
    try {
      const headers = { 'content-type': 'application/json' };
      const impatient = request(`${server.url}/auth/login`, { method: 'POST', headers, agent: false });
      const hungUp = new Promise((resolve) => impatient.on('error', () => undefined).once('close', resolve));
      impatient.end(JSON.stringify({ username: 'nobody', password: PASSWORD }));
      await eventually('the first hash', () => hashing.length === 1);
      impatient.destroy();
      await hungUp;

      // One runs, 64 may wait, and it has not ended: the rest are told to come again.
      const answered: number[] = [];
      const login = async (): Promise<number> => {
        const { status } = await server.ask('/auth/login', { json: { username: 'nobody', password: PASSWORD } });
        return answered.push(status);
      };
      const others = Promise.all(Array.from({ length: 66 }, login));
      await eventually('the answers of those who may not wait', () => answered.length === 2);
      expect(answered).toEqual([503, 503]);
      expect(hashing).toHaveLength(1);

      while (hashing.length < 65) {
        hashing.at(-1)?.();
        const begun = hashing.length;
        await eventually('the next hash', () => hashing.length > begun);
      }
      hashing.at(-1)?.();
      await others;
      expect(answered.filter((status) => status === 401)).toHaveLength(64);
    } finally {
      Reflect.set(hasher, 'engine', engine);
    }
  });
});
