import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { SqlShell } from '../../src/cli/sql-shell.js';
import { publishKey } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let superuser: Client;
let auditor: Client;
let folder: string;
let historyFile: string;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  auditor = await database.connect('auditor');
  await publishKey(superuser, { activation: 'bootstrap', activatesIn: 0 });
  folder = await mkdtemp(join(tmpdir(), 'keyturn-sql-'));
});
beforeEach(() => {
  historyFile = join(folder, `history-${Math.random()}`);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await database.drop();
});

const collected = (stream: PassThrough): (() => string) => {
  let text = '';
  stream.setEncoding('utf8').on('data', (more: string) => (text += more));
  return () => text;
};

/** A shell in this process, as the auditor. */
function open({ terminal = false, json = false, client = auditor } = {}) {
  const [input, output, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const cancel = async (): Promise<void> => {
    await superuser.query(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND usename = 'keyturn_auditor' AND state = 'active'`,
    );
  };
  const shell = new SqlShell(client, cancel, 'auditor', { input, output, errors, terminal, historyFile, json });
  return { done: shell.run(), input, out: collected(output), err: collected(errors) };
}

/** What a shell says that is fed a file. */
async function fed(text: string, options: { json?: boolean; client?: Client } = {}) {
  const shell = open(options);
  shell.input.end(text);
  return { good: await shell.done, out: shell.out(), err: shell.err() };
}

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await setTimeout(20);
};

describe('a shell that is fed', () => {
  it('answers each statement with a table, the last one also without its semicolon', async () => {
    expect(await fed('select 1 as one,\n  2 as two;\n-- a remark\nselect null as nothing; select true')).toEqual({
      good: true,
      err: '',
      out: [
        'one  two\n---  ---\n1    2\n(1 row)\n',
        'nothing\n-------\n\n(1 row)\n',
        '?column?\n--------\nt\n(1 row)\n',
      ].join(''),
    });
  });

  it('shows values in the words of Postgres, and keeps columns of one name apart', async () => {
    const { out } = await fed(
      `select timestamptz '2026-10-01 12:00+02' as at, interval '90 minutes' as at, '\\x00ff'::bytea as bytes, array['a', 'b'] as list;`,
    );
    expect(out).toContain('at                      at        bytes   list');
    expect(out).toContain('2026-10-01 10:00:00+00  01:30:00  \\x00ff  {a,b}');
  });

  it('shows what Postgres refuses, goes on, and ends badly', async () => {
    expect(await fed('select 1/0; select * from keyturn.users; select 7 as seven;')).toEqual({
      good: false,
      err: 'Postgres: division by zero\nPostgres: permission denied for schema keyturn\n',
      out: 'seven\n-----\n7\n(1 row)\n',
    });
  });

  it('writes out whatever could move a cursor or forge a line', async () => {
    const said = await fed(
      `select E'a\\x1b[31m\\nb' as "head\u001b[2J"; do $$ begin raise exception 'x%', E'\\x1b[31m' using hint = E'y\\x07'; end $$;`,
    );
    expect(said.out).toContain('head\\u001b[2J');
    expect(said.out).toContain('a\\u001b[31m\\nb');
    expect(said.err).toBe('Postgres: x\\u001b[31m\n  Hint: y\\u0007\n');
  });

  it('shows the first rows and the first of a long cell, and says so', async () => {
    const { out } = await fed(`select n, repeat('x', 61) as long from generate_series(1, 1200) n;`);
    const lines = out.split('\n');
    expect(lines[2]).toBe(`1    ${'x'.repeat(59)}…`);
    expect(lines).toHaveLength(2 + 500 + 1 + 1);
    expect(lines.at(-2)).toBe('(the first 500 of 1200 rows: say WHERE or LIMIT; … is more: \\x shows all of it)');
  });

  it('shows one line a column after \\x, and nothing is cut', async () => {
    const { out } = await fed(`\\x\nselect 1 as n, repeat('x', 100) as long;\n\\x\nselect 2 as n;`);
    expect(out).toBe(
      `One line a column.\n-- 1 --\nn     1\nlong  ${'x'.repeat(100)}\n(1 row)\nOne line a row.\nn\n-\n2\n(1 row)\n`,
    );
  });

  it('gives rows as data with --json, all of them', async () => {
    const { out } = await fed(`select n, 'a' as letter from generate_series(1, 600) n;`, { json: true });
    const rows: unknown = JSON.parse(out);
    expect(rows).toEqual(Array.from({ length: 600 }, (_, index) => ({ n: index + 1, letter: 'a' })));
  });

  it('lists what the role may read, and nothing that it may not', async () => {
    const { out } = await fed('\\d');
    expect(out).toMatch(/^audit\.key_timeline +view +What is each key's life\? One line a key\.$/m);
    expect(out).toMatch(/^audit\.login_history +view /m);
    expect(out).toMatch(
      /^audit\.keys_valid_at\(at_instant timestamp with time zone\) +function +Which keys were good/m,
    );
    expect(out).not.toMatch(/^keyturn\./m);
    expect((await fed('\\d', { client: await database.connect('app') })).out).toMatch(/^keyturn\.users +table /m);
  });

  it('describes one, with or without its schema', async () => {
    const { out } = await fed('\\d key_timeline');
    expect(out).toMatch(
      /^view audit\.key_timeline\nWhat is each key's life\? One line a key\.\n\ncolumn +type +about\n/,
    );
    expect(out).toMatch(/^kid +text +Key id in token headers and JWKS\.$/m);
    expect((await fed('\\d AUDIT.Key_Timeline;')).out).toBe(out);
    expect((await fed('\\d audit.key_for')).out).toMatch(
      /^function audit\.key_for\(.*\)\n.*\ntakes +of_kid text, at_instant timestamp with time zone\ngives +TABLE\(kid text,/,
    );
    expect((await fed('\\d users')).out).toMatch(/^view audit\.users\n/);
    const unknown = 'There is no nothing that this role may read. \\d lists what there is.\n';
    expect((await fed('\\d nothing')).out).toBe(unknown);
  });

  it('helps, and says when it does not know a command', async () => {
    expect((await fed('\\?')).out).toContain('\\d NAME');
    expect((await fed('help')).out).toContain('\\d NAME');
    expect(await fed('\\dt+\nselect 1 as one')).toMatchObject({
      good: false,
      err: 'There is no "\\\\dt+". \\? shows what there is.\n',
      out: expect.stringContaining('one'),
    });
  });

  it.each(['\\q', 'quit', 'exit;'])('ends at %s', async (word) => {
    expect((await fed(`select 1 as one;\n${word}\nselect 2 as two;`)).out).not.toContain('two');
  });

  it('keeps nothing of what it is fed', async () => {
    await fed('select 1;');
    await expect(stat(historyFile)).rejects.toThrow('ENOENT');
  });

  it('says so when the connection goes, and ends', async () => {
    const client = await database.connect('auditor');
    const shell = open({ client });
    const ended = expect(shell.done).rejects.toThrow(/^The connection to Postgres is lost: /);
    shell.input.write('select pg_backend_pid() as pid;\n');
    await until(() => shell.out().includes('(1 row)'));
    await superuser.query('SELECT pg_terminate_backend($1)', [Number(/\d+/.exec(shell.out())?.[0])]);
    shell.input.end('select 1;\n');
    await ended;
  });
});

describe('a shell at a terminal', () => {
  it('asks for more until the semicolon, and remembers what was typed, for its owner alone', async () => {
    await writeFile(historyFile, 'select 41;\n', { mode: 0o644 });
    const shell = open({ terminal: true });
    shell.input.write('select 42\n');
    await until(() => shell.out().includes('auditor-> '));
    shell.input.write('as answer;\n');
    await until(() => shell.out().includes('(1 row)'));
    shell.input.write('\\q\n');
    expect(await shell.done).toBe(true);
    expect(shell.out()).toContain('auditor=> ');
    expect(await readFile(historyFile, 'utf8')).toBe('select 41;\nselect 42\nas answer;\n\\q\n');
    expect((await stat(historyFile)).mode & 0o777).toBe(0o600);
  });

  it('cancels the statement under way at Ctrl-C, and goes on', async () => {
    const shell = open({ terminal: true });
    shell.input.write('select pg_sleep(60);\n');
    const sleeping = `SELECT FROM pg_stat_activity WHERE query = 'select pg_sleep(60)' AND state = 'active'`;
    await until(async () => (await superuser.query(sleeping)).rowCount === 1);
    shell.input.write('\u0003');
    await until(() => shell.err().includes('canceling statement due to user request'));
    shell.input.write('select 6 * 7 as answer;\n');
    await until(() => shell.out().includes('42'));
    // Ctrl-D
    shell.input.write('\u0004');
    expect(await shell.done).toBe(true);
  });

  it('forgets at Ctrl-C what was typed so far', async () => {
    const shell = open({ terminal: true });
    shell.input.write(`select 'unfinished\n`);
    await until(() => shell.out().includes('auditor-> '));
    shell.input.write('more of it\u0003');
    await until(() => shell.out().includes('^C'));
    shell.input.write('select 6 * 7 as answer;\n');
    await until(() => shell.out().includes('42'));
    shell.input.end();
    expect([await shell.done, shell.err()]).toEqual([true, '']);
  });

  it('goes on without a history where it cannot be kept', async () => {
    historyFile = join(folder, 'nowhere', 'history');
    const shell = open({ terminal: true });
    shell.input.write('select 1;\n\\q\n');
    expect(await shell.done).toBe(true);
    expect(shell.err()).toBe(`${historyFile} cannot be written.\n`);
  });
});
