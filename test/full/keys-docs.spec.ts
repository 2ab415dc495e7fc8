import { generateKeyPairSync } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { KeyEncryptionKeys } from '../../src/keys/vault/key-encryption-keys.js';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { hour } from '../support/signing-keys.js';
import { run, runHere, temporaryFolder, type Folder, type Said } from '../exchange/support/cli.js';

jest.setTimeout(120_000);

const docs = readFileSync(new URL('../../docs/keys.md', import.meta.url), 'utf8');
const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url));

/** The commands of a fenced block with this word after its language. */
const commandsOf = (word: string, language = 'sh'): readonly string[] =>
  [...docs.matchAll(/^```(\w+) ?([^\n]*)\n(.*?)^```$/gms)]
    .filter(([, found, info]) => found === language && info === word)
    .flatMap(([, , , text = '']) => text.trim().split('\n'));

let database: TestDatabase;
let server: TestApp;
let folder: Folder;
let settings: Readonly<Record<string, string>>;

beforeEach(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256' } });
  folder = await temporaryFolder();
  settings = settingsOver(database, server.kek);

  const shim = join(folder.path, 'keyturn');
  await writeFile(shim, `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`);
  await chmod(shim, 0o755);
});
afterEach(async () => {
  await server.close();
  await database.drop();
  await folder.remove();
});

const settingsOver = ({ urls }: TestDatabase, kek: string): Readonly<Record<string, string>> => ({
  NODE_ENV: 'test',
  DATABASE_URL: urls.app,
  MIGRATION_DATABASE_URL: urls.migrator,
  KEK: kek,
  KEY_ALGORITHM: 'ES256',
});

/** The words of a command line that asks nothing more of a shell than to be split; undefined: it does. */
const wordsOf = (command: string): readonly string[] | undefined =>
  /^keyturn [^<>|$;&*]*$/.test(command)
    ? [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(1)
    : undefined;

/** As a shell would, with the keys that are there in the place of those that the page names. */
async function type(command: string): Promise<Said> {
  const ring = server.app.get(KeyRing);
  const [signer, standby] = [ring.signer(), ring.standby()];
  const meant = command
    .replaceAll('7-NzbLsXh8', signer?.kid ?? 'nobody')
    .replaceAll('8-Qm3vT0aE', standby?.kid ?? 'nobody')
    .replace('--from 7', `--from ${signer?.version}`);

  const words = wordsOf(meant);
  if (words) {
    const before = process.cwd();
    process.chdir(folder.path);
    try {
      return await runHere(words, settings);
    } finally {
      process.chdir(before);
    }
  }
  return await run('sh', ['-euc', `cd '${folder.path}'; ${meant}`], {
    env: { ...settings, PATH: `${folder.path}${delimiter}${process.env['PATH']}` },
  });
}

/** Types every command of the blocks with this word; each must be done. @returns what they printed */
async function typeAll(word: string): Promise<readonly string[]> {
  const commands = commandsOf(word);
  expect(commands.length).toBeGreaterThan(0);
  const printed: string[] = [];
  for (const command of commands) {
    const said = await type(command);
    expect({ command, code: said.code, err: said.code === 0 ? '' : said.err }).toEqual({ command, code: 0, err: '' });
    printed.push(said.out);
  }
  return printed;
}

const kidNow = async (): Promise<string | undefined> => {
  await server.hearNews();
  return server.app.get(KeyRing).signer()?.kid;
};

describe('docs/keys.md', () => {
  it('tries settings out', async () => {
    const [year, weekly] = await typeAll('');
    expect(year).toMatch(/takes over/);
    expect(weekly?.split('\n').length).toBeGreaterThan(year?.split('\n').length ?? Infinity);
    for (const command of commandsOf('refused'))
      expect(await type(command)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/ACCESS_TOKEN_TTL .* key \d+-/),
      });
  });

  it('rotates as planned', async () => {
    await database.moveClock(2 * hour);
    await server.hearNews();
    const standby = server.app.get(KeyRing).standby()?.kid;
    await typeAll('planned');
    expect(await kidNow()).toBe(standby);
  });

  it('revokes a key that has leaked', async () => {
    const standby = server.app.get(KeyRing).standby()?.kid;
    const [, receipt] = await typeAll('leaked');
    expect(receipt).toMatch(/Effective on \d of 1 running servers/);
    expect(await kidNow()).toBe(standby);
  });

  it('puts another key in the place of a standby that nobody opens', async () => {
    const standby = server.app.get(KeyRing).standby();
    const superuser = await database.connect('superuser');
    await superuser.query(`UPDATE keyturn.signing_key_secrets SET sealed = '\\x00' WHERE version = $1`, [
      standby?.version,
    ]);
    await server.tick();
    const [, revoke = ''] = commandsOf('leaked');
    const says = `; nothing took over: no running server opens ${standby?.kid}, which waits; give the servers its`;
    expect((await type(revoke)).out).toContain(says);
    expect(await kidNow()).toBeUndefined();
    const [replaced] = await typeAll('shut');
    expect(replaced).toMatch(/is published and takes over .* UTC \(now\)\.\n.*is superseded/);
    expect(replaced).toContain(await kidNow());
  });

  it('seals again under a new key-encryption key', async () => {
    const [make = '', reseal = ''] = commandsOf('reseal');
    expect((await type(make)).code).toBe(0);
    const line = readFileSync(join(folder.path, 'kek.line'), 'utf8').trim();
    await folder.write('kek', `${line}\n${server.kek}\n`);
    settings = { ...settings, KEK: '', KEK_FILE: join(folder.path, 'kek') };
    expect(await type(reseal)).toMatchObject({ code: 1, err: expect.stringMatching(/do not hold/) });
    await server.close();
    expect(await type(reseal)).toMatchObject({ code: 0, out: expect.stringMatching(/sealed under/) });
    server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', KEK: line } });
    await server.createUser({ username: 'anna' });
    expect((await server.login('anna')).access_token).toBeDefined();
  });

  it('begins anew when the key-encryption key is lost', async () => {
    await server.close();
    const kek = KeyEncryptionKeys.newLine();
    server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', KEK: kek } });
    await server.createUser({ username: 'anna' });
    await expect(server.login('anna')).rejects.toThrow();
    settings = settingsOver(database, kek);
    await typeAll('lost');
    const owner = await database.connect('migrator');
    await owner.query('SET ROLE keyturn_owner');
    for (const statement of commandsOf('lost', 'sql')) await owner.query(statement);
    await server.close();
    server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256', KEK: kek } });
    expect((await server.login('anna')).access_token).toBeDefined();
  });

  it('restores a backup, in which no key lives on', async () => {
    await typeAll('backup');
    const elsewhere = await createTestDatabase();
    try {
      settings = settingsOver(elsewhere, server.kek);
      const [, restored] = await typeAll('restore');
      expect(restored).toMatch(/the history verifies\. Every key that lived is revoked\./);
    } finally {
      await elsewhere.drop();
    }
  });

  it('reconciles a copy: no key lives on', async () => {
    const before = await kidNow();
    expect(await typeAll('restored')).toEqual([expect.stringMatching(/keys revoked/)]);
    expect(await kidNow()).not.toBe(before);
  });

  it('moves to ES256', async () => {
    const [, replaced, list] = await typeAll('es256');
    expect(replaced).toMatch(/is published and takes over/);
    expect(list).toMatch(/ES256 +pending/);
  });

  it('moves keys in from files', async () => {
    const pair = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
    await folder.write('old-key.pem', pair().privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const entry = {
      kid: 1,
      public_key: pair().publicKey.export({ type: 'spki', format: 'pem' }),
      created_at: new Date(Date.now() - hour).toISOString().slice(0, -1),
      expires_at: new Date(Date.now() + 24 * hour).toISOString().slice(0, -1),
    };
    await folder.write('keys.json', JSON.stringify([entry]));
    const [standby, admitted] = await typeAll('move');
    expect(standby).toMatch(/takes over/);
    expect(admitted).toMatch(/^1 \(RS256\) verifies until .*, and never signs/);
    expect(JSON.parse(readFileSync(join(folder.path, 'our-keys.json'), 'utf8'))).toHaveLength(3);
  });

  it('carries a pair on', async () => {
    expect(await typeAll('renew')).toEqual([expect.stringMatching(/takes over/)]);
  });

  it('has no command that is not run here', () => {
    const words = [
      '',
      'refused',
      'planned',
      'leaked',
      'shut',
      'reseal',
      'lost',
      'backup',
      'restore',
      'restored',
      'es256',
      'move',
      'renew',
    ];
    const here = words.flatMap((word) => commandsOf(word));
    const all = [...docs.matchAll(/^```sh[^\n]*\n(.*?)^```$/gms)].flatMap(([, text = '']) => text.trim().split('\n'));
    expect(all.toSorted()).toEqual(here.toSorted());
  });
});
