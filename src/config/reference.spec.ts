import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { expect, it } from '@jest/globals';
import { loadConfig } from './load-config.js';
import { environmentExample, settingsTable, withSettingsTable } from './reference.js';
import { SETTINGS } from './settings.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

it('finds docs/configuration.md as the settings make it: if not, type npm run docs:settings', () => {
  const document = read('docs/configuration.md');

  expect(document).toBe(withSettingsTable(document));
});

it('finds .env.example as the settings make it: if not, type npm run docs:settings', () => {
  expect(read('.env.example')).toBe(environmentExample());
});

it('gives every setting one row, in order, with its default and what it may be', () => {
  const names = settingsTable()
    .split('\n')
    .slice(2)
    .map((row) => /^\| `([A-Z_]+)` \|/.exec(row)?.[1]);

  expect(names).toEqual(Object.keys(SETTINGS));
  expect(settingsTable()).toContain('| `PORT` | `3000` |');
  expect(settingsTable()).toContain('| one of none, transaction |');
});

it('means the defaults with every line of .env.example in force', () => {
  const environment = parseEnv(environmentExample().replaceAll(/^#(?=[A-Z_]+=)/gm, ''));

  expect(new Set(Object.keys(environment))).toEqual(new Set(Object.keys(SETTINGS)));
  expect(loadConfig(environment)).toEqual(loadConfig({}));
});

it('shows no value for a secret', () => {
  const secrets = Object.entries(SETTINGS).filter(([, { secret }]) => secret);

  expect(secrets.map(([name]) => name)).toContain('KEYTURN_ADMIN_PASSWORD');
  for (const [name] of secrets) expect(environmentExample()).toMatch(new RegExp(`^#${name}=$`, 'm'));
});

it('refuses a document without the lines between which the table goes', () => {
  expect(() => withSettingsTable('# Configuration\n')).toThrow(/lacks the lines/);
});
