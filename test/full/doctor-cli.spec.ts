import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { z } from 'zod';
import { behindTheTriggers } from '../audit/story.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { endAll, freePort, newKek, runCli, settingsFor, startKeyturn, type Settings } from './support/keyturn.js';

jest.setTimeout(120_000);

let database: TestDatabase;
let settings: Settings;
beforeAll(async () => {
  database = await createTestDatabase();
  settings = settingsFor(database, { AUDITOR_DATABASE_URL: database.urls.auditor });
});
afterAll(async () => {
  await endAll();
  await database.drop();
});

/** What is wrong, and the exit code. */
async function doctor(more: Settings = {}): Promise<{ code: number | null; wrong: string[]; output: string }> {
  const { code, output } = await runCli(['doctor'], { ...settings, ...more });
  return { code, output, wrong: [...output.matchAll(/^WRONG {2}(.*)$/gm)].map(([, what]) => what ?? '') };
}

describe('keyturn doctor', () => {
  it('says before the first server that nothing can be signed', async () => {
    expect(await doctor()).toMatchObject({
      code: 1,
      wrong: [expect.stringMatching(/^no key is active/), expect.stringMatching(/^no standby is published/)],
    });
  });

  it('finds nothing wrong while a server runs, in sentences and as data', async () => {
    await startKeyturn(settings);
    const { code, wrong, output } = await doctor();
    expect([code, wrong]).toEqual([0, []]);
    expect(output).toMatch(/^ok {5}the auditor reads schema audit, and nothing else$/m);
    expect(output).toMatch(/^ok {5}1-\S+ signs, ES256, since /m);
    expect(output).toMatch(/^ok {5}1 running, all with the newest keys$/m);

    const { output: json } = await runCli(['doctor', '--json'], settings);
    expect(
      z.object({ ok: z.boolean(), findings: z.array(z.object({ ok: z.boolean() })) }).parse(JSON.parse(json)),
    ).toMatchObject({
      ok: true,
    });
  });

  it('finds a key-encryption key that opens nothing', async () => {
    const { code, wrong } = await doctor({ KEK: newKek('other') });
    expect([code, wrong]).toEqual([
      1,
      [
        expect.stringMatching(/^the private half of 1-\S+ cannot be opened: /),
        expect.stringMatching(/^the private half of 2-\S+ cannot be opened: /),
      ],
    ]);
  });

  it('finds roles that may do too much, or cannot be had', async () => {
    expect(await doctor({ DATABASE_URL: database.urls.superuser })).toMatchObject({
      code: 1,
      wrong: expect.arrayContaining([expect.stringContaining('may do more than keyturn_app')]),
    });
    expect((await doctor({ AUDITOR_DATABASE_URL: database.urls.app })).wrong).toEqual([
      'the role of AUDITOR_DATABASE_URL may read more than schema audit: give it keyturn_auditor',
    ]);
    const nobody = `postgres://keyturn_auditor:x@127.0.0.1:${await freePort()}/keyturn`;
    expect((await doctor({ AUDITOR_DATABASE_URL: nobody })).wrong).toEqual([
      expect.stringMatching(
        /^No Postgres answers on 127\.0\.0\.1:\d+\/keyturn\. Start it, or correct AUDITOR_DATABASE_URL/,
      ),
    ]);
  });

  it('finds an end of the history that was cut off', async () => {
    await behindTheTriggers(
      await database.connect('superuser'),
      'DELETE FROM keyturn.audit_log WHERE seq = (SELECT max(seq) FROM keyturn.audit_log)',
    );
    // Others too: the server that runs has the keys revoked.
    expect((await doctor()).wrong).toContainEqual(
      expect.stringMatching(/^row \d+ of the history is not what was signed/),
    );
  });

  it('ends in words with a configuration that cannot be read', async () => {
    expect(await doctor({ PORT: 'none' })).toMatchObject({
      code: 1,
      output: expect.stringContaining('PORT is "none", but must be a whole number'),
    });
  });
});

describe('a command that cannot go on', () => {
  const nowhere = '/nowhere/that/is/file';

  it.each([
    [['audit', 'verify', '--checkpoint', nowhere], `${nowhere} cannot be read: ENOENT`],
    [['users', 'create', 'bert', '--password-file', nowhere], `${nowhere} cannot be read: ENOENT`],
  ])('says so in a sentence, with exit code 1 and no stack: %j', async (words, sentence) => {
    const { code, output } = await runCli(words, settings);
    expect([code, output]).toEqual([1, expect.stringContaining(sentence)]);
    expect(output).not.toMatch(/^ +at /m);
  });

  it.each([[['audit', 'verify']], [['sql', 'select 1']], [['sql', '--as', 'auditor', 'select 1']]])(
    'names the setting where the auditor has no database: %j',
    async (words) => {
      const url = `postgres://keyturn_auditor:hunter-in-the-test@127.0.0.1:${await freePort()}/keyturn`;
      const { code, output } = await runCli(words, { ...settings, AUDITOR_DATABASE_URL: url });
      expect([code, output.trim()]).toEqual([
        75,
        expect.stringMatching(
          /^keyturn: database_unusable: No Postgres answers on 127\.0\.0\.1:\d+\/keyturn\. Start it, or correct AUDITOR_DATABASE_URL[^\n]*$/,
        ),
      ]);
    },
  );

  it('says where the password goes that a connection string lacks', async () => {
    const url = database.urls.migrator.replace(/:[^:@]*@/, '@');
    const { code, output } = await runCli(['migrate'], { ...settings, MIGRATION_DATABASE_URL: url });
    expect([code, output]).toEqual([
      1,
      expect.stringMatching(/wants a password of keyturn_migrator\. Put it into MIGRATION_DATABASE_URL/),
    ]);
  });
});
