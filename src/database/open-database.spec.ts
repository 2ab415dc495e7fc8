import { describe, expect, it } from '@jest/globals';
import { KeyturnError } from '../common/errors.js';
import { DatabaseProblem, explainLoss } from './open-database.js';
import { asKeyturnError } from './unavailable.js';

const URL_OF_TEST = 'postgres://keyturn_app:of-the-test@127.0.0.1:5432/keyturn';
const driver = (message: string, code: string): Error => Object.assign(new Error(message), { code });

describe('a database that is lost while the server starts', () => {
  it.each([
    ['as the driver says it', (error: Error): unknown => error],
    ['as a room below has named it', (error: Error): unknown => asKeyturnError(error)],
  ])('is explained, %s', (_, told) => {
    const explained = explainLoss(told(driver('connect ECONNREFUSED', 'ECONNREFUSED')), URL_OF_TEST);
    expect(explained).toBeInstanceOf(DatabaseProblem);
    expect(explained).toHaveProperty('message', expect.stringMatching(/^No Postgres answers on 127\.0\.0\.1:5432/));
    const slow = explainLoss(told(driver('canceling statement due to statement timeout', '57014')), URL_OF_TEST);
    expect(slow).toHaveProperty('message', expect.stringContaining('took longer than DATABASE_TIMEOUT'));
    expect(slow).not.toHaveProperty('message', expect.stringContaining('of-the-test'));
  });

  it('is not taken for any other failure', () => {
    const others = [new Error('a defect'), new KeyturnError('username_taken', 'There is one already.')];
    for (const other of others) expect(explainLoss(other, URL_OF_TEST)).toBe(other);
  });
});

describe('what a client is told', () => {
  it.each([
    ['a statement that took too long', driver('canceling statement', '57014'), /took longer than DATABASE_TIMEOUT/],
    ['a lock that took too long', driver('canceling statement', '55P03'), /took longer than DATABASE_TIMEOUT/],
    ['a shutdown', driver('terminating connection', '57P01'), /cannot be reached/],
  ])('of %s', (_, error, sentence) => {
    expect(asKeyturnError(error)).toMatchObject({
      code: 'database_unavailable',
      message: expect.stringMatching(sentence),
      details: { retryAfter: 2 },
    });
  });
});
