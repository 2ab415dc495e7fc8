import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { auditVerifyCommand } from '../../src/cli/audit-verify.command.js';
import { CommandError } from '../../src/cli/command-error.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addUser } from '../support/users.js';
import { behindTheTriggers, storeCheckpoint, tellStory, type Story } from './story.js';

let database: TestDatabase;
let app: Client;
let superuser: Client;
let story: Story;
let folder: string;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  superuser = await database.connect('superuser');
  folder = await mkdtemp(join(tmpdir(), 'keyturn-audit-'));
});
beforeEach(async () => {
  await database.reset();
  story = await tellStory(app);
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true });
});

interface Outcome {
  readonly out: string;
  /** What the command ends with: exit code 1. */
  readonly refused: string | undefined;
}

/** Types `keyturn audit verify …`. */
async function verify(options: readonly string[], auditorUrl: string = database.urls.auditor): Promise<Outcome> {
  Object.assign(process.env, { NODE_ENV: 'test', DATABASE_URL: database.urls.app, AUDITOR_DATABASE_URL: auditorUrl });
  let out = '';
  const stdout = jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  try {
    await auditVerifyCommand().parseAsync([...options], { from: 'user' });
    return { out, refused: undefined };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { out, refused: error.message };
  } finally {
    stdout.mockRestore();
  }
}

async function keep(text: string): Promise<string> {
  const file = join(folder, 'kept');
  await writeFile(file, text);
  return file;
}

const deleteRow = (seq: number): Promise<void> =>
  behindTheTriggers(superuser, `DELETE FROM keyturn.audit_log WHERE seq = ${seq}`);

describe('keyturn audit verify', () => {
  it('says that the history is whole, how much that was, and where it ends', async () => {
    await storeCheckpoint(app, story);
    const { out } = await verify([]);
    expect(out.split('\n').slice(0, 2)).toEqual([
      'The history is whole: 8 events make 2 keys and 2 users as they are; 1 stored checkpoint is good.',
      expect.stringMatching(/^It ends at row 8 with hash [0-9a-f]{64}\.$/),
    ]);
  });

  it('refuses, naming the first row that does not fit', async () => {
    await deleteRow(5);
    expect(await verify([])).toEqual({ out: '', refused: 'The history does not hold: row 5 is missing.' });
  });

  it('says the same as data', async () => {
    await deleteRow(5);
    const { out } = await verify(['--json']);
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      checked: { events: 7, keys: 2, users: 2 },
      problem: 'row 5 is missing',
      seq: 5,
      version: null,
      userId: null,
    });
  });

  it('reads with the rights of the server where it has none of an auditor', async () => {
    expect((await verify([], '')).refused).toBeUndefined();
  });

  it('asks for the auditor’s rights where it was told to use them and has none', async () => {
    expect((await verify(['--as', 'auditor'], '')).refused).toBe(
      'Set AUDITOR_DATABASE_URL to a connection string of keyturn_auditor.',
    );
  });

  it('holds the history against a checkpoint that was kept', async () => {
    const { jws } = await storeCheckpoint(app, story);
    await addUser(app);
    const { out } = await verify(['--checkpoint', await keep(JSON.stringify({ jws }))]);
    expect(out).toContain('It holds what 1 kept checkpoint was signed over.');
  });

  it('finds by a kept checkpoint what nothing else can find', async () => {
    const { jws } = await storeCheckpoint(app, story);
    await behindTheTriggers(
      superuser,
      `DELETE FROM keyturn.audit_checkpoints; DELETE FROM keyturn.audit_log WHERE seq = 8;
       UPDATE keyturn.users SET ver = 3, disabled_at = NULL WHERE username = 'Bob'`,
    );
    expect((await verify(['--checkpoint', await keep(jws)])).refused).toBe(
      'The history does not hold: row 8 is missing, but the kept checkpoint was signed over it: the end was cut off.',
    );
  });

  it('takes nothing for a checkpoint that is none', async () => {
    const { refused } = await verify(['--checkpoint', await keep('eyJhbGciOiJub25lIn0.e30.')]);
    expect(refused).toContain('holds no checkpoint of a Keyturn history');
  });

  it('says that a file cannot be read', async () => {
    const { refused } = await verify(['--checkpoint', join(folder, 'nowhere')]);
    expect(refused).toContain('nowhere cannot be read');
  });
});
