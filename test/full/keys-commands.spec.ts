import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { KeyRing } from '../../src/keys/ring/key-ring.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { run, runHere, temporaryFolder, type Folder, type Said } from '../exchange/support/cli.js';
import { hour } from '../support/signing-keys.js';

jest.setTimeout(120_000);

const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url));

/** Every command of the operations table in keys.md: arguments that are done, in this order, over one database. */
const commands: readonly {
  readonly name: string;
  readonly args?: readonly string[];
  /** Cannot be undone: it asks first. */
  readonly asks?: boolean;
  /** What it prints is the data itself. */
  readonly isData?: boolean;
  /** What a person reads of it when it is done once more, where that can be; with a picture that no terminal need draw. */
  readonly words?: RegExp;
}[] = [
  { name: 'list', words: /^(?=[^]*\. published {2}# signs)[^]*signs since .* UTC \(.*ago\), until .* UTC \(in \d+d\)/ },
  { name: 'plan', words: /^(?=[^]*\. published {2}# signs)[^]*UTC \(in \d+d\) +\S+ +takes over/ },
  {
    name: 'replace-standby',
    args: ['--algorithm', 'ES384'],
    words: /takes over .* UTC \(in \d+d\)\.\n.*is superseded/,
  },
  { name: 'renew', words: /takes over .* UTC \(in \d+d\)/ },
  { name: 'import', args: ['pair.pem', '--algorithm', 'ES256'] },
  { name: 'export', args: ['--format', 'keys.json'], isData: true },
  { name: 'rotate', args: ['--force', '--reason', 'now'] },
  { name: 'reseal', words: /sealed under .* already/ },
  { name: 'backup', args: ['one.backup'] },
  { name: 'revoke', args: ['KID', '--reason', 'leaked'], asks: true },
  { name: 'restore', args: ['one.backup'], asks: true },
  { name: 'reconcile', args: ['--reason', 'restored'], asks: true },
];

let database: TestDatabase;
let empty: TestDatabase;
let server: TestApp;
let folder: Folder;
beforeAll(async () => {
  [database, empty] = [await createTestDatabase(), await createTestDatabase()];
  server = await startTestApp({ database, settings: { KEY_ALGORITHM: 'ES256' } });
  folder = await temporaryFolder();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await folder.write('pair.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  await database.moveClock(2 * hour);
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
  await empty?.drop();
  await folder?.remove();
});

const environment = (url?: string, { urls } = database): Readonly<Record<string, string>> => ({
  NODE_ENV: 'test',
  DATABASE_URL: url ?? urls.app,
  MIGRATION_DATABASE_URL: url ?? urls.migrator,
  KEK: server.kek,
  KEY_ALGORITHM: 'ES256',
});
/** @param alone in a process of its own */
const keyturn = async (name: string, args: readonly string[], url?: string, alone = false): Promise<Said> => {
  const env = environment(url, name === 'restore' ? empty : database);
  const kid = server.app.get(KeyRing).signer()?.kid ?? '';
  const line = ['keys', name, ...args.map((arg) => inFolder(arg === 'KID' ? kid : arg))];
  return alone ? await run(process.execPath, [cli, ...line], { env }) : await runHere(line, env);
};
const inFolder = (arg: string): string => (/\.(pem|backup)$/.test(arg) ? join(folder.path, arg) : arg);
/** Nobody listens on port 1 of loopback. */
const nowhere = 'postgres://nobody@127.0.0.1:1/none';
const keysNow = async (): Promise<string> =>
  JSON.stringify(
    (await (await database.connect('app')).query('SELECT * FROM keyturn.signing_keys ORDER BY version')).rows,
  );

describe.each(commands)('keyturn keys $name', ({ name, args = [], asks = false, isData = false, words }) => {
  it('has help with examples, and ends with 2 when it cannot be read', async () => {
    const help = await keyturn(name, ['--help']);
    const unreadable = await keyturn(name, [...args, '--no-such-option']);
    expect([help.code, help.out]).toEqual([
      0,
      expect.stringMatching(new RegExp(`Examples?:\\n(.*\\n)*? .*keyturn keys ${name}`)),
    ]);
    expect(unreadable).toMatchObject({ code: 2, out: '' });
  });

  if (asks)
    it('asks first, and without an answer changes nothing', async () => {
      const before = await keysNow();
      expect(await keyturn(name, args)).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/--yes/) });
      expect(await keysNow()).toBe(before);
    });

  it('prints data with --json, and nothing else', async () => {
    const wanted = [...args, ...(isData ? [] : ['--json']), ...(asks ? ['--yes'] : [])];
    const { code, out, err } = await keyturn(name, wanted);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toBeInstanceOf(Object);
    await server.hearNews();
  });

  if (words)
    it('tells a person states in words, and times both ways', async () => {
      expect(await keyturn(name, args)).toMatchObject({ code: 0, out: expect.stringMatching(words) });
      await server.hearNews();
    });
});

describe('what a person reads of a change', () => {
  it('is the time, both ways', async () => {
    await server.hearNews();
    await server.tick();
    await server.hearNews();
    const rotated = await keyturn('rotate', ['--force']);
    expect(rotated.out).toMatch(
      /signs since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(now\), by force; tokens of \S+ stay good/,
    );
    await server.hearNews();
    await server.tick();
    const revoked = await keyturn('revoke', ['KID', '--reason', 'leaked', '--yes']);
    expect(revoked.out).toMatch(/is revoked since .* UTC \(now\); \S+ signs now\.\n/);
    expect(revoked.out).toMatch(/outside caches by .* UTC \(in 10min\)\./);
  });

  it('is refused in words, with 1', async () => {
    expect(await keyturn('rotate', ['--from', '1'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^keyturn: version_conflict: Version 1 does not sign any more/),
    });
    expect(await keyturn('revoke', ['nobody', '--reason', 'none', '--yes'])).toMatchObject({ code: 1 });
  });
});

it('every command ends with 75 where there is no database', async () => {
  const lines = commands.map(({ name, args = [], asks }) => [
    ...['keys', name, ...args.map(inFolder), ...(asks ? ['--yes'] : [])],
  ]);
  // One process for all: what takes time is to load.
  const script = `
    import { keyturn } from ${JSON.stringify(new URL('../../dist/src/cli/program.js', import.meta.url))};
    const codes = [];
    for (const line of JSON.parse(process.argv[1])) codes.push(await keyturn(line));
    process.stderr.write(JSON.stringify(codes));`;
  const { out, err } = await run(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(lines)], {
    env: environment(nowhere),
  });
  const said = err.split('\n');
  expect([out, JSON.parse(said.at(-1) ?? '')]).toEqual(['', lines.map(() => 75)]);
  expect(said.length).toBeGreaterThan(lines.length);
});

it('a process of its own ends with these codes, and prints data and sentences on their channels', async () => {
  const [done, refused, unreadable, unavailable] = await Promise.all([
    keyturn('list', ['--json'], undefined, true),
    keyturn('backup', ['one.backup'], undefined, true),
    keyturn('rotate', ['--no-such-option'], undefined, true),
    keyturn('revoke', ['KID', '--reason', 'leaked', '--yes'], nowhere, true),
  ]);
  expect([done.code, done.err, JSON.parse(done.out)]).toEqual([0, '', expect.any(Object)]);
  expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/exist/i) });
  expect(unreadable).toMatchObject({ code: 2, out: '' });
  expect(unavailable).toMatchObject({ code: 75, out: '', err: expect.stringMatching(/\S/) });
});

it('every exit code is documented', async () => {
  const { out } = await run(process.execPath, [cli, '--help'], {});
  const page = readFileSync(new URL('../../docs/keys.md', import.meta.url), 'utf8');
  for (const code of ['0', '1', '2', '75']) {
    expect(out).toMatch(new RegExp(`Exit codes:[^]*\\b${code} `));
    expect(page).toMatch(new RegExp(`^\\| ${code} +\\|`, 'm'));
  }
});
