import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { hasDuplicateNames, nestsDeeperThan } from './json-duplicates.js';

describe('duplicate member names', () => {
  it.each([
    ['two equal names', '{"a":1,"a":2}'],
    ['equal after unescaping', String.raw`{"alg":1,"\u0061lg":2}`],
    ['escaped in the same way', String.raw`{"\"":1,"\u0022":2}`],
    ['whitespace before the colon', '{"a" \t\r\n : 1, "a"\n:2}'],
    ['in a nested object', '{"x":{"a":1,"a":2}}'],
    ['in an object in an array', '[[],[1,{"a":1,"b":[{"c":1}],"a":2}]]'],
    ['after a nested object has closed', '{"a":{"b":1},"c":[1],"a":2}'],
    ['the empty name', '{"":1,"":2}'],
    ['__proto__', '{"__proto__":1,"__proto__":2}'],
  ])('are found: %s', (_, json) => {
    expect(JSON.parse(json)).toBeDefined();
    expect(hasDuplicateNames(json)).toBe(true);
  });

  it.each([
    ['none', '{}'],
    ['a scalar', '"a"'],
    ['the same name in sibling objects', '[{"a":1},{"a":2}]'],
    ['the same name in a nested object', '{"a":{"a":{"a":1}}}'],
    ['names that differ in case', '{"a":1,"A":2}'],
    ['a value equal to a name', '{"a":"a","b":["a","a"]}'],
    ['a value that looks like members', String.raw`{"a":"\",\"a\":1","b":"{\"a\":1,\"a\":2}"}`],
    ['a string that ends in a backslash', String.raw`{"a":"\\","b":"\\\\"}`],
    ['names of Object.prototype', '{"constructor":1,"__proto__":2,"toString":3}'],
    ['composed and decomposed letters', '{"\u00e9":1,"e\u0301":2}'],
  ])('are not imagined: %s', (_, json) => {
    expect(JSON.parse(json)).toBeDefined();
    expect(hasDuplicateNames(json)).toBe(false);
  });

  it('are found exactly where a recursive reading finds them', () => {
    fc.assert(
      fc.property(document, ({ json, duplicate }) => {
        expect(JSON.parse(json)).toBeDefined();
        expect(hasDuplicateNames(json)).toBe(duplicate);
      }),
      { numRuns: 500 },
    );
  });

  it('are never found in what JSON.stringify writes, and always once one is injected', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { minKeys: 1 }), (object) => {
        const json = JSON.stringify(object);
        const [name] = Object.keys(object);
        expect(hasDuplicateNames(json)).toBe(false);
        expect(hasDuplicateNames(`${json.slice(0, -1)},${JSON.stringify(name)}:0}`)).toBe(true);
      }),
    );
  });
});

describe('depth', () => {
  it.each([
    ['flat', '{"a":1}', 1, false],
    ['at the bound', '[[{"a":[]}]]', 4, false],
    ['beyond the bound', '[[{"a":[]}]]', 3, true],
    ['side by side', '[[],[],{},{}]', 2, false],
    ['brackets in strings', String.raw`{"a":"[[[[\"[[[["}`, 1, false],
    ['no JSON at all', ']]]]', 1, false],
    ['a string that never closes', '"[[[[', 1, false],
    ['ten thousand arrays', '['.repeat(10_000), 32, true],
    ['ten thousand objects', '{"a":'.repeat(10_000), 32, true],
  ])('%s', (_, text, bound, deeper) => {
    expect(nestsDeeperThan(text, bound)).toBe(deeper);
  });

  it('of a million levels is followed without recursion', () => {
    expect(nestsDeeperThan('['.repeat(1_000_000), 999_999)).toBe(true);
    expect(hasDuplicateNames('['.repeat(1_000_000) + ']'.repeat(1_000_000))).toBe(false);
  });
});

type Node =
  string | readonly Node[] | { readonly members: readonly (readonly [name: string, escaped: boolean, Node])[] };

function isArray(node: Node): node is readonly Node[] {
  return Array.isArray(node);
}

function write(node: Node): string {
  if (typeof node === 'string') return node;
  if (isArray(node)) return `[ ${node.map(write).join(' ,')}]`;
  return `{${node.members.map(([name, escaped, value]) => `${writeName(name, escaped)}\n:${write(value)}`).join(', ')}}`;
}

function writeName(name: string, escaped: boolean): string {
  if (!escaped) return JSON.stringify(name);
  const units = Array.from({ length: name.length }, (_, at) => name.charCodeAt(at).toString(16).padStart(4, '0'));
  return `"${units.map((unit) => `\\u${unit}`).join('')}"`;
}

function holdsDuplicate(node: Node): boolean {
  if (typeof node === 'string') return false;
  if (isArray(node)) return node.some(holdsDuplicate);
  const names = node.members.map(([name]) => name);
  return new Set(names).size < names.length || node.members.some(([, , value]) => holdsDuplicate(value));
}

/** JSON with duplicates here and there, as a tree, so that the reference needs no parser of its own. */
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.json({ maxDepth: 0 }),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.record({
      members: fc.array(
        fc.tuple(
          fc.oneof(fc.constantFrom('alg', 'kid', '__proto__', '"', '\\', ''), fc.string({ unit: 'binary' })),
          fc.boolean(),
          tie('node'),
        ),
        { maxLength: 4 },
      ),
    }),
  ),
}));
const document = node.map((root) => ({ json: write(root), duplicate: holdsDuplicate(root) }));
