import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { z } from 'zod';
import { insufficientPrivilege, refusal } from '../support/refusal.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { storeCheckpoint, tellStory } from './story.js';

const docs = readFileSync(new URL('../../docs/dba.md', import.meta.url), 'utf8');

/** A fenced block: its language, what follows on that line, and its text. */
const blocks = [...docs.matchAll(/^```(\w+) ?([^\n]*)\n(.*?)^```$/gms)].map(([, language, info = '', text = '']) => ({
  language,
  info: info.split(' '),
  text,
}));

const role = z.enum(['superuser', 'migrator', 'app', 'auditor']);
const statements = blocks
  .filter((block) => block.language === 'sql')
  .map(({ info: [who, ...rest], text }) => ({ who: role.parse(who), refused: rest.includes('refused'), text }));

/** How the blocks that this spec does not run begin, and which specs run what they say: these words are in them. */
const RUN_ELSEWHERE: Readonly<Record<string, readonly [spec: string, words: string]>> = {
  'createdb keyturn\n': ['../full/install.spec.ts', "block('docs/dba.md', 'createdb keyturn\\n')"],
  'curl -s https://login.example.com/history/checkpoint > ': [
    '../full/install.spec.ts',
    "block('docs/dba.md', 'curl ')",
  ],
  'pg_dump -Fc keyturn > keyturn.dump\n': ['../full/restore.spec.ts', "commandsUnder('Backup and restore')"],
  'npm run keyturn -- keys reconcile --reason ': ['../full/keys-commands.spec.ts', "'reconcile', args: ['--reason'"],
};

let database: TestDatabase;
let app: Client;
let folder: string;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  folder = await mkdtemp(join(tmpdir(), 'keyturn-docs-'));
  await storeCheckpoint(app, await tellStory(app));
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true });
});

describe('docs/dba.md', () => {
  it('has no block that is neither run here nor known to be run by another spec', () => {
    const fences = docs.match(/^ *(?:```|~~~)/gm) ?? [];
    const others = blocks.filter(({ language, info }) => language !== 'sql' && !info.includes('psql'));
    const known = Object.keys(RUN_ELSEWHERE);
    const beginnings = others.map(({ text }) => known.find((beginning) => text.startsWith(beginning)) ?? text);
    expect([fences.length, beginnings]).toEqual([2 * blocks.length, known]);
  });

  it.each(Object.values(RUN_ELSEWHERE))('has the others run by %s', (spec, words) => {
    expect(readFileSync(new URL(spec, import.meta.url), 'utf8')).toContain(words);
  });

  it.each(statements.filter(({ refused }) => !refused))('says to $who what works: $text', async ({ who, text }) => {
    const client = await database.connect(who);
    await expect(client.query(text)).resolves.toBeDefined();
  });

  it.each(statements.filter(({ refused }) => refused))('says to $who what is refused: $text', async ({ who, text }) => {
    const client = await database.connect(who);
    expect(await refusal(client.query(text))).toBe(insufficientPrivilege);
  });

  it('answers every question of the table, and shows how a link is proven', () => {
    const asked = [
      'key_history',
      'key_timeline',
      'keys_valid_at',
      'key_for',
      'user_history',
      'actions_by',
      'verify_history',
      'login_history',
      'key_schedule',
    ];
    const text = blocks.map((block) => block.text).join('');
    expect(asked.filter((name) => !text.includes(`audit.${name}`))).toEqual([]);
  });

  it('proves a link by hand', async () => {
    const recipe = blocks.find(({ language, info }) => language === 'sh' && info.includes('psql'))?.text ?? '';
    await standInForPsql();
    const { stdout } = await promisify(execFile)('sh', ['-eu', '-c', recipe], {
      env: { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}`, DATABASE: database.urls.auditor },
    });
    const [computed, stored] = stdout.split('\n').map((line) => line.split(' ')[0]);
    expect([computed, computed?.length]).toEqual([stored, 64]);
  });
});

/** Not every machine has psql: this one knows `-AtXc` and nothing else. */
async function standInForPsql(): Promise<void> {
  const pg = pathToFileURL(createRequire(import.meta.url).resolve('pg')).href;
  const psql = join(folder, 'psql');
  await writeFile(
    psql,
    `#!${process.execPath}
import('${pg}').then(async ({ default: { Client } }) => {
  const client = new Client(process.env.DATABASE);
  await client.connect();
  const { rows } = await client.query({ text: process.argv[3], rowMode: 'array' });
  console.log(rows.map((row) => row.join('|')).join('\\n'));
  await client.end();
});
`,
  );
  await chmod(psql, 0o755);
}
