import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KeyBackup } from '../../../src/keys/backup/key-backup.js';
import { KeyRing } from '../../../src/keys/ring/key-ring.js';
import { SigningKeyStore } from '../../../src/keys/store/signing-key-store.js';
import { KeyEncryptionKeys } from '../../../src/keys/vault/key-encryption-keys.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';

const opened: { close?: () => Promise<void>; drop?: () => Promise<void> }[] = [];
let database: TestDatabase;
let server: TestApp;
let backup: Buffer;

const newDatabase = async (): Promise<TestDatabase> => {
  const made = await createTestDatabase();
  opened.push(made);
  return made;
};

/** Keys, halves and history as rows: what a restore must bring back to the letter. */
const contents = async (of: TestDatabase): Promise<unknown> => {
  const superuser = await of.connect('superuser');
  const { rows } = await superuser.query(`SELECT
    (SELECT jsonb_agg(to_jsonb(k) ORDER BY version) FROM keyturn.signing_keys k) AS keys,
    (SELECT jsonb_agg(to_jsonb(s) ORDER BY version) FROM keyturn.signing_key_secrets s) AS secrets,
    (SELECT jsonb_agg(jsonb_build_object('seq', seq, 'entry', entry, 'hash', hash) ORDER BY seq) FROM keyturn.audit_log WHERE event <> 'restored') AS history`);
  return rows[0];
};

const restoreInto = async (
  target: TestDatabase,
  file: Buffer,
  keepKeys: boolean,
  kek = server.kek,
): Promise<unknown> => {
  // Whoever restores has no server yet, and so no keys: only the parts of one that the command line uses.
  const { NestFactory } = await import('@nestjs/core');
  const { CliModule } = await import('../../../src/cli.module.js');
  const context = await NestFactory.createApplicationContext(
    CliModule.register({ ...server.config, keys: { ...server.config.keys, kek } }, target.urls.app, true),
    {
      logger: false,
      abortOnError: false,
    },
  );
  try {
    return await context.get(KeyBackup).restore(file, target.urls.migrator, keepKeys);
  } finally {
    await context.close();
  }
};

beforeAll(async () => {
  database = await newDatabase();
  server = await startTestApp({ database });
  opened.unshift(server);
  await server.createUser({ username: 'anna', roles: ['admin'] });
  const { access_token: token } = await server.login('anna');
  await server.ask('/keys/rotate', { token, json: { force: true, reason: 'so that there is a history' } });
  await server.hearNews();
  backup = (await server.app.get(KeyBackup).take()).file;
});

afterAll(async () => {
  for (const { close } of opened) await close?.();
  for (const { drop } of opened) await drop?.();
});

describe('a backup', () => {
  it('holds nothing that a reader without the key-encryption key could read', () => {
    const text = backup.toString('latin1');
    for (const word of [
      'RS256',
      'bootstrapped',
      'PRIVATE',
      'activates_at',
      server.app.get(KeyRing).signer()?.kid ?? '?',
    ])
      expect(text).not.toContain(word);
  });

  it('comes back to the letter, history and private halves included, and verifies', async () => {
    const target = await newDatabase();
    await restoreInto(target, backup, true);
    expect(await contents(target)).toEqual(await contents(database));
    const auditor = await target.connect('auditor');
    expect((await auditor.query('SELECT ok, problem FROM audit.verify_history()')).rows).toEqual([
      { ok: true, problem: null },
    ]);
  });

  it('lets a server go on with the very keys when they are kept', async () => {
    const target = await newDatabase();
    await restoreInto(target, backup, true);
    const second = await startTestApp({ database: target, settings: { KEK: server.kek } });
    opened.unshift(second);
    expect(second.app.get(KeyRing).signer()?.kid).toBe(server.app.get(KeyRing).signer()?.kid);
    await second.createUser({ username: 'bob' });
    await expect(second.login('bob')).resolves.toMatchObject({ token_type: 'Bearer' });
  });

  it('revives nothing unless told to: every restored key is revoked, and the next server makes new ones', async () => {
    const target = await newDatabase();
    await restoreInto(target, backup, false);
    const second = await startTestApp({ database: target, settings: { KEK: server.kek } });
    opened.unshift(second);
    const { keys } = await server.app.get(SigningKeyStore).all();
    const last = Math.max(...keys.map((key) => key.version));
    expect(second.app.get(KeyRing).signer()).toMatchObject({ version: last + 1, activation: 'emergency' });
    const auditor = await target.connect('auditor');
    expect((await auditor.query('SELECT ok, problem FROM audit.verify_history()')).rows).toEqual([
      { ok: true, problem: null },
    ]);
  });

  it('is refused where there are keys already', async () => {
    await expect(restoreInto(database, backup, false)).rejects.toMatchObject({
      code: 'key_change_refused',
      message: expect.stringContaining('no keys, no users and no history'),
    });
  });

  it('is refused without its key-encryption key, when it was damaged, and when it is none', async () => {
    const target = await newDatabase();
    const damaged = Buffer.from(backup);
    damaged[damaged.length - 40] = (damaged[damaged.length - 40] ?? 0) ^ 1;
    await expect(restoreInto(target, backup, false, KeyEncryptionKeys.newLine())).rejects.toMatchObject({
      message: expect.stringContaining('KEK_FILE does not hold'),
    });
    await expect(restoreInto(target, damaged, false)).rejects.toMatchObject({
      message: expect.stringContaining('cannot be opened'),
    });
    await expect(restoreInto(target, Buffer.from('hello'), false)).rejects.toMatchObject({
      message: expect.stringContaining('not a backup'),
    });
    expect(await contents(target)).toEqual({ keys: null, secrets: null, history: null });
  });

  it('is refused when what it holds does not verify, and then nothing is kept', async () => {
    const { readBackup, writeBackup } = await import('../../../src/keys/backup/backup-file.js');
    const keks = KeyEncryptionKeys.parse(server.kek);
    const bundle = readBackup(backup, keks);
    const forged = {
      ...bundle,
      keys: bundle.keys.map((key) =>
        key['version'] === 1 ? { ...key, expires_at: '2099-01-01T00:00:00+00:00' } : key,
      ),
    };
    const target = await newDatabase();
    await expect(restoreInto(target, writeBackup(forged, keks), true)).rejects.toMatchObject({
      code: 'key_change_refused',
      message: expect.stringContaining('does not verify'),
    });
    expect(await contents(target)).toEqual({ keys: null, secrets: null, history: null });
  });
});
