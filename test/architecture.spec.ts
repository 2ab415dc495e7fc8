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
/** A room that the plan does not name is a feature of whoever builds on this: it looks into `common`, `index.ts` and other features only. */
const isOurs = (room: string): boolean => room in MAY_IMPORT;
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const sources = files.filter((file) => !file.endsWith('.spec.ts'));
const roomOf = (file: string): string | undefined => (file.includes(sep) ? file.split(sep)[0] : undefined);
const ours = sources.filter((file) => isOurs(roomOf(file) ?? 'keys'));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  const paths = [...text.matchAll(/^(?:import|export)\s[^;]*?from '(\.[^']+)';/gms)].map(([, path]) => path ?? '');
  return paths.map((path) => relative(src, resolve(src, dirname(file), path)));
}

/** The rooms among these targets that a file must not look into. */
function wrongTargets(file: string, targets: readonly string[]): string[] {
  const room = roomOf(file);
  if (room === undefined) return [];
  const allowed = new Set([room, ...(FOUNDATIONS.includes(room) ? [] : FOUNDATIONS), ...(MAY_IMPORT[room] ?? [])]);
  const inside = targets.filter((target) => !target.startsWith('..'));
  if (isOurs(room))
    return inside
      .map(roomOf)
      .filter((into) => into !== undefined && !allowed.has(into))
      .map(String);
  return inside.filter((target) => {
    const into = roomOf(target);
    return into === undefined ? target !== 'index.js' : isOurs(into) && into !== 'common';
  });
}

describe('the house', () => {
  it('lets imports run one way', () => {
    const wrong = sources.flatMap((file) =>
      wrongTargets(file, importsOf(file)).map((target) => `${file} -> ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('has room for features, which use what is public and nothing else', () => {
    const looksInto = (...targets: readonly string[]): string[] =>
      wrongTargets(join('reports', 'reports.controller.ts'), targets);
    expect(looksInto(join('common', 'access.js'), 'index.js', join('payroll', 'money.js'))).toEqual([]);
    const inner = [join('keys', 'keys.module.js'), join('database', 'change.js'), 'server.js'];
    expect(looksInto(...inner)).toEqual(inner);
    expect(wrongTargets(join('auth', 'auth.module.ts'), [join('reports', 'reports.module.js')])).toEqual(['reports']);
  });

  it('reads the environment in no room: the entries hand it to loadConfig', () => {
    const readers = ours.filter((file) => /process\.env\b/.test(readFileSync(join(src, file), 'utf8')));
    // run.ts hands PATH on to Postgres, the one thing of our environment that it gets.
    expect(readers.toSorted()).toEqual(['cli/context.ts', 'database/embedded/run.ts', 'demo.ts', 'main.ts']);
  });

  it('has no file past 250 lines', () => {
    const long = ours.filter((file) => readFileSync(join(src, file), 'utf8').split('\n').length > 250);
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
