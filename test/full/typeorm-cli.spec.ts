import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { migrations } from '../../migrations/index.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';

jest.setTimeout(180_000);

const root = fileURLToPath(new URL('../../', import.meta.url));
const known = migrations.map(({ name }) => name);

let database: TestDatabase;
beforeAll(async () => (database = await createEmptyDatabase()));
afterAll(async () => await database?.drop());

/** What `docs/operations.md` has typed, typed. */
async function typeorm(action: 'show' | 'run' | 'revert'): Promise<{ code: unknown; out: string }> {
  const line = `npm run typeorm -- migration:${action} -d dist/ormconfig.js`;
  expect(readFileSync(`${root}docs/operations.md`, 'utf8')).toContain(`\n${line}\n`);
  const [command = '', ...args] = line.split(' ');
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(command, args, {
    cwd: root,
    env: { PATH, HOME, DATABASE_URL: database.urls.app, MIGRATION_DATABASE_URL: database.urls.migrator },
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, out };
}

/** Names by their mark in the list: `[X] 1 Foundation…` is applied, `[ ] …` pending. */
async function listed(mark: 'X' | ' '): Promise<readonly (string | undefined)[]> {
  const { out } = await typeorm('show');
  return [...out.matchAll(/\[([X ])\] (?:\d+ )?(\w+)/g)].filter(([, set]) => set === mark).map(([, , name]) => name);
}

it('the TypeORM command shows, runs and reverts the migrations', async () => {
  expect(await listed(' ')).toEqual(known);
  expect(await typeorm('run')).toMatchObject({ code: 0 });
  expect([await listed('X'), await listed(' ')]).toEqual([known, []]);
  expect(await typeorm('revert')).toMatchObject({ code: 0 });
  expect([await listed('X'), await listed(' ')]).toEqual([known.slice(0, -1), known.slice(-1)]);
  const { rows } = await (await database.connect('superuser')).query('SELECT name FROM keyturn.migrations ORDER BY id');
  expect(rows.map(({ name }) => name)).toEqual(known.slice(0, -1));
});
