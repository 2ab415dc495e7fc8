import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { unexpectedInWords } from './unexpected.js';

describe('unexpectedInWords', () => {
  it('says message and stack, of causes too, and no other property', () => {
    const driver = Object.assign(new Error('null value in column "x"'), { detail: 'Failing row contains (hunter).' });
    const failed = new QueryFailedError('INSERT INTO keyturn.users VALUES ($1)', ['$argon2id$of-the-test'], driver);
    const said = unexpectedInWords(new Error('could not be stored', { cause: failed }));
    expect(said).toMatch(
      /^Error: could not be stored\n +at [^]*\nbecause of QueryFailedError: null value in column "x"\n +at /,
    );
    expect(said).not.toMatch(/argon2id|hunter|INSERT/);
  });

  it('says nothing of what is no error', () => {
    expect(unexpectedInWords({ password: 'of the test' })).toBe('something that is no error was thrown');
  });
});
