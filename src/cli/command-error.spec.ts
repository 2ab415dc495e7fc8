import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { ConfigError } from '../config/load-config.js';
import { DatabaseProblem } from '../database/open-database.js';
import { CommandError, failureText } from './command-error.js';

const young = new KeyturnError('standby_too_young', 'It can take over from noon.', { from: 'noon', standby: '2-x' });

describe('a failure', () => {
  it.each([
    ['a refusal', young, 'keyturn: standby_too_young: It can take over from noon.'],
    [
      'one of the command line',
      new CommandError('not_confirmed', 'Nothing was changed.'),
      'keyturn: not_confirmed: Nothing was changed.',
    ],
    [
      'the configuration',
      new ConfigError(['PORT is missing']),
      /^keyturn: configuration_invalid: .*\n {2}- PORT is missing\n/,
    ],
    ['the database', new DatabaseProblem('Nobody answers.'), 'keyturn: database_unusable: Nobody answers.'],
  ])('of %s begins with its code', (_name, error, said) => {
    expect(failureText(error, false)).toEqual(typeof said === 'string' ? said : expect.stringMatching(said));
  });

  it('is one line of JSON for scripts, with its details', () => {
    expect(JSON.parse(failureText(young, true))).toEqual({
      error: { code: 'standby_too_young', message: 'It can take over from noon.', from: 'noon', standby: '2-x' },
    });
    expect(failureText(new ConfigError(['one', 'two']), true)).not.toContain('\n');
  });

  it.each([true, false])('that nobody expected shows its stack and none of its properties (JSON: %s)', (json) => {
    const error = new QueryFailedError('INSERT', ['$argon2id$secret'], new Error('value too long'));
    const said = failureText(error, json);

    expect(said).toMatch(/internal_error/);
    expect(said).toMatch(/value too long/);
    expect(said).not.toContain('secret');
  });
});
