import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const page = readFileSync(at('docs/must-hold.md'), 'utf8');
/** The rows of its table: number, what holds, the specs that prove it. */
const rows = [...page.matchAll(/^\| *(\d+) *\|(.*?)\|([^|]*)\|$/gm)].map(([, line = '', what = '', where = '']) => ({
  line: Number(line),
  what: what.trim(),
  specs: [...where.matchAll(/`([^`]+)`/g)].map(([, spec = '']) => spec),
}));

it('docs/must-hold.md has one row for each line, in order, in words', () => {
  expect(rows.map(({ line }) => line)).toEqual(Array.from({ length: 65 }, (_, index) => index + 1));
  expect(rows.filter(({ what }) => what === '')).toEqual([]);
});

it('docs/must-hold.md names for each line specs that are there', () => {
  for (const { line, specs } of rows) {
    expect([line, specs.length]).not.toEqual([line, 0]);
    expect([line, specs.filter((spec) => !spec.endsWith('.spec.ts') || !existsSync(at(spec)))]).toEqual([line, []]);
  }
});
