import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { splitSql } from './sql-statements.js';

describe('statements', () => {
  it.each<[text: string, statements: string[], rest: string]>([
    ['', [], ''],
    ['select 1', [], 'select 1'],
    ['select 1;', ['select 1'], ''],
    ['select 1; select 2 ;\n', ['select 1', 'select 2'], ''],
    [' ;; ; ', [], ''],
    [`select ';'; x`, [`select ';'`], 'x'],
    [`select 'it''s;';`, [`select 'it''s;'`], ''],
    [`select '\\'; x`, [`select '\\'`], 'x'],
    [`select E'\\';';`, [`select E'\\';'`], ''],
    [`select e'a''b\\'`, [], `select e'a''b\\'`],
    [`select "a;b"; x`, [`select "a;b"`], 'x'],
    ['select $$;$$; x', ['select $$;$$'], 'x'],
    ['do $a$ begin; $b$ ; $b$; $$ end $a$;', ['do $a$ begin; $b$ ; $b$; $$ end $a$'], ''],
    ['select a$b; select c$d;', ['select a$b', 'select c$d'], ''],
    ['select $1; x', ['select $1'], 'x'],
    ['select 1 -- ;\n; x', ['select 1 -- ;'], 'x'],
    ['/* ; /* ; */ ; */ select 1;', ['select 1'], ''],
    ['-- only a remark;', [], ''],
    ['/* only a remark; */', [], ''],
    ['-- about\nselect 1 -- one\n;', ['select 1 -- one'], ''],
  ])('%j are %j and the beginning of %j', (text, statements, rest) => {
    expect(splitSql(text)).toEqual({ statements, rest });
  });

  it.each([`select '; x;`, 'select "; x;', 'select $$; x;', 'select $a$ ; $b$;', '/* /* */ ; x;', `select E'\\'; x;`])(
    'end nowhere within %j, which goes on',
    (text) => {
      expect(splitSql(text)).toEqual({ statements: [], rest: text });
    },
  );

  it('come out alike, whether the text comes whole or line by line', () => {
    const words = fc.constantFrom(
      `'`,
      `"`,
      ';',
      '\n',
      '--',
      '/*',
      '*/',
      '$$',
      '$a$',
      `E'`,
      '\\',
      'select',
      ' ',
      '1',
      '$1',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        const text = `${parts.join('')}\n`;
        const lineByLine: string[] = [];
        let rest = '';
        for (const line of text.split('\n').slice(0, -1)) {
          const split = splitSql(`${rest}${line}\n`);
          lineByLine.push(...split.statements);
          ({ rest } = split);
        }
        expect({ statements: lineByLine, rest: rest.trim() }).toEqual({
          statements: splitSql(text).statements,
          rest: splitSql(text).rest.trim(),
        });
      }),
    );
  });
});
