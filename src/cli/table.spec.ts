import { describe, expect, it } from '@jest/globals';
import { table } from './table.js';

describe('table', () => {
  it('aligns cells under their headings', () => {
    expect(table(['kid', 'state'], [['1-AAAAAAAA', 'active']])).toBe(
      ['kid         state', '----------  ------', '1-AAAAAAAA  active'].join('\n'),
    );
  });

  it('writes out what could move a cursor, in cells and in headings', () => {
    const text = table(['\u001b[31mred', 'two\nlines'], [['\u0007', '\u009b1m']]);
    expect(text.split('\n')).toEqual([
      String.raw`\u001b[31mred  two\nlines`,
      '-------------  ----------',
      String.raw`\u0007         \u009b1m`,
    ]);
  });
});
