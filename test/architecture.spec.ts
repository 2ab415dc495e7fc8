import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** Which rooms a room may look into, beside `common`, `config` and `database`, which every room above them may. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  common: [],
  config: ['common'],
  database: ['common', 'config'],
  keys: [],
  users: [],
  auth: ['keys', 'users'],
  audit: ['keys', 'users'],
  console: ['auth', 'audit', 'keys', 'users'],
  ops: ['keys', 'users', 'auth', 'audit'],
  cli: ['keys', 'users', 'auth', 'audit'],
  demo: ['cli', 'auth', 'keys', 'users'],
};
const FOUNDATIONS = ['common', 'config', 'database'];
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const sources = files.filter((file) => !file.endsWith('.spec.ts'));
const roomOf = (file: string): string | undefined => (file.includes(sep) ? file.split(sep)[0] : undefined);

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  const paths = [...text.matchAll(/^(?:import|export)\s[^;]*?from '(\.[^']+)';/gms)].map(([, path]) => path ?? '');
  return paths.map((path) => relative(src, resolve(src, dirname(file), path)));
}

describe('the house', () => {
  it('has no room that the plan does not name', () => {
    const rooms = new Set(sources.map(roomOf).filter((room) => room !== undefined));
    expect([...rooms].filter((room) => !(room in MAY_IMPORT))).toEqual([]);
  });

  it('lets imports run one way', () => {
    const wrong = sources.flatMap((file) => {
      const room = roomOf(file);
      if (room === undefined) return [];
      const allowed = new Set([room, ...(FOUNDATIONS.includes(room) ? [] : FOUNDATIONS), ...(MAY_IMPORT[room] ?? [])]);
      return importsOf(file)
        .map((target) => ({ into: roomOf(target), target }))
        .filter(({ into, target }) => !target.startsWith('..') && into !== undefined && !allowed.has(into))
        .map(({ into }) => `${file} -> ${into}`);
    });
    expect(wrong).toEqual([]);
  });

  it('reads the environment in no room: the entries hand it to loadConfig', () => {
    const readers = sources.filter((file) => /process\.env\b/.test(readFileSync(join(src, file), 'utf8')));
    // run.ts hands PATH on to Postgres, the one thing of our environment that it gets.
    expect(readers.toSorted()).toEqual(['cli/context.ts', 'database/embedded/run.ts', 'demo.ts', 'main.ts']);
  });

  it('has no file past 250 lines', () => {
    const long = sources.filter((file) => readFileSync(join(src, file), 'utf8').split('\n').length > 250);
    expect(long).toEqual([]);
  });

  it('has nothing at the top that the plan does not name', () => {
    const top = readdirSync(join(src, '..')).filter(
      (name) => !name.startsWith('.') && !['node_modules', 'dist', 'coverage'].includes(name),
    );
    const planned = new Set([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bench',
      'deploy',
      'docs',
      'migrations',
      'nest-cli.json',
      'ormconfig.ts',
      'package-lock.json',
      'package.json',
      'src',
      'test',
      'tsconfig.json',
    ]);
    expect(top.filter((name) => !planned.has(name))).toEqual([]);
  });
});
