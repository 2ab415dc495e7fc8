import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { allKeys, bootstrapKey, day, hour, minute, publishKey } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addSession } from '../support/users.js';
import { tellStory, type Story } from './story.js';

let database: TestDatabase;
let app: Client;
let owner: Client;
let auditor: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  owner = await database.connect('owner');
  auditor = await database.connect('auditor');
});
beforeEach(async () => await database.reset());
afterAll(async () => await database.drop());

const ask = async (sql: string, values: readonly unknown[] = []): Promise<unknown[]> =>
  (await auditor.query<Record<string, unknown>>(sql, [...values])).rows;

/** Two keys: the first signs for 30 days, then the second. Answers with the first instant of the first. */
async function twoKeys(): Promise<number> {
  // One change has one instant.
  await app.query('BEGIN');
  const { activates_at: began } = await bootstrapKey(app);
  await publishKey(app, { activatesIn: 30 * day });
  await app.query('COMMIT');
  return began.getTime();
}

const revokeFirst = (): Promise<unknown> =>
  app.query(`UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`);

describe('audit.keys_valid_at', () => {
  const validAt = (instant: number) =>
    ask('SELECT version, state FROM audit.keys_valid_at($1) ORDER BY version', [new Date(instant)]);

  it('gives the key that signed', async () => {
    const began = await twoKeys();
    expect(await validAt(began + day)).toEqual([{ version: 1, state: 'active' }]);
  });

  it('gives the one that signed and the one whose tokens were still good', async () => {
    const began = await twoKeys();
    expect(await validAt(began + 30 * day)).toEqual([
      { version: 1, state: 'retiring' },
      { version: 2, state: 'active' },
    ]);
  });

  it('gives none before the first', async () => {
    const began = await twoKeys();
    expect(await validAt(began - 1)).toEqual([]);
  });

  it('gives a revoked key until the instant of its revocation, and not from then on', async () => {
    const began = await twoKeys();
    await database.moveClock(day);
    await revokeFirst();
    const [first] = await allKeys(app);
    const end = first?.revoked_at?.getTime() ?? 0;
    expect([end > began, await validAt(end - 1), await validAt(end)]).toEqual([
      true,
      [{ version: 1, state: 'active' }],
      [{ version: 2, state: 'active' }],
    ]);
  });

  it('never gives a standby that was revoked before its time', async () => {
    const began = await twoKeys();
    await app.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'superseded' WHERE version = 2`,
    );
    expect(await validAt(began + 31 * day)).toEqual([{ version: 1, state: 'active' }]);
  });
});

describe('audit.key_history', () => {
  /** The newest event in words, after this statement of the owner. */
  async function saidOf(sql: string): Promise<unknown> {
    await owner.query(sql);
    return (await ask('SELECT what FROM audit.key_history ORDER BY seq DESC LIMIT 1'))[0];
  }

  it('says of an event that moves only the end of a key until when it verifies', async () => {
    await twoKeys();
    const words = await saidOf(
      `UPDATE keyturn.signing_keys SET expires_at = expires_at + interval '1 day' WHERE version = 1`,
    );
    const until = (await allKeys(app))[0]?.expires_at?.toISOString().replace('T', ' ').slice(0, 16);
    expect(words).toEqual({ what: `verifies until ${until} UTC` });
  });

  it('says that a sealed half was replaced where it lies under the same key-encryption key', async () => {
    await twoKeys();
    const sealed = `UPDATE keyturn.signing_key_secrets SET`;
    expect([
      await saidOf(`${sealed} sealed = sealed WHERE version = 1`),
      await saidOf(`${sealed} kek_id = 'another' WHERE version = 1`),
    ]).toEqual([
      { what: 'sealed half replaced, under the same key-encryption key' },
      { what: 'sealed again under key-encryption key another' },
    ]);
  });
});

describe('audit.key_for', () => {
  const keyFor = (version: number, instant: number) =>
    ask('SELECT good, state FROM audit.key_for((SELECT kid FROM audit.signing_keys WHERE version = $1), $2)', [
      version,
      new Date(instant),
    ]);

  it.each([
    ['active', true, day],
    ['pending', false, -1],
    ['retiring', false, 30 * day],
    ['expired', false, 30 * day + hour + minute],
  ])('says of a key that was %s whether a token signed then is good: %s', async (state, good, after) => {
    const began = await twoKeys();
    expect(await keyFor(1, began + after)).toEqual([{ good, state }]);
  });

  it('says that a key was good before it was revoked, and when and why that was', async () => {
    const began = await twoKeys();
    await database.moveClock(day);
    await revokeFirst();
    const [first] = await allKeys(app);
    expect(
      await ask('SELECT good, revoked_at, revocation_reason FROM audit.key_for($1, $2)', [
        first?.kid,
        new Date(began + hour),
      ]),
    ).toEqual([{ good: true, revoked_at: first?.revoked_at, revocation_reason: 'leaked' }]);
  });

  it('says that a key which was revoked is good no more', async () => {
    const began = await twoKeys();
    await database.moveClock(day);
    await revokeFirst();
    expect(await keyFor(1, began + 2 * day)).toEqual([{ good: false, state: 'revoked' }]);
  });

  it('says of a kid that never was that it never was', async () => {
    await twoKeys();
    expect(await ask(`SELECT good, state, why FROM audit.key_for('no-such', now())`)).toEqual([
      { good: false, state: 'unknown', why: 'no key ever had this kid' },
    ]);
  });

  it('says in words why', async () => {
    const began = await twoKeys();
    const until = new Date(began + 30 * day).toISOString().replace('T', ' ').slice(0, 19);
    const rows = await ask(
      'SELECT why FROM audit.key_for((SELECT kid FROM audit.signing_keys WHERE version = 1), $1)',
      [new Date(began + 31 * day)],
    );
    expect(rows).toEqual([{ why: `it signed only until ${until} UTC` }]);
  });
});

describe('audit.key_schedule', () => {
  const schedule = () => ask('SELECT what, version, overdue FROM audit.key_schedule');

  it('says what is due, soonest first', async () => {
    await twoKeys();
    expect(await schedule()).toEqual([
      { what: 'takeover', version: 2, overdue: false },
      { what: 'expiry', version: 1, overdue: false },
    ]);
  });

  it('says that a standby is wanting', async () => {
    await bootstrapKey(app);
    expect(await schedule()).toEqual([{ what: 'standby', version: null, overdue: true }]);
  });

  it('says that nothing signs', async () => {
    expect(await schedule()).toEqual([
      { what: 'signer', version: null, overdue: true },
      { what: 'standby', version: null, overdue: true },
    ]);
  });

  it('has done with keys that were revoked', async () => {
    await twoKeys();
    await revokeFirst();
    expect(await schedule()).toEqual([{ what: 'standby', version: null, overdue: true }]);
  });
});

describe('the history of people', () => {
  let story: Story;
  beforeEach(async () => {
    story = await tellStory(app);
  });

  it('says who made Bob an administrator, and why', async () => {
    expect(
      await ask(
        `SELECT who, reason FROM audit.user_history WHERE lower(username) = lower('bob') AND what LIKE '%to admin'`,
      ),
    ).toEqual([{ who: 'anna@example.com', reason: 'stands in for Anna' }]);
  });

  it('says in words what happened to a person', async () => {
    expect(await ask('SELECT what FROM audit.user_history WHERE user_id = $1', [story.bob])).toEqual([
      { what: 'created without a role' },
      { what: 'roles changed from none to admin' },
      { what: 'roles changed from admin to none' },
      { what: 'disabled' },
    ]);
  });

  it('says that sessions of a person were ended, and who did it', async () => {
    await addSession(app, story.bob);
    await addSession(app, story.bob);
    await app.query('BEGIN');
    await app.query(`SELECT set_config('keyturn.actor', $1, true)`, [story.anna]);
    await app.query(`UPDATE keyturn.sessions SET ended_at = now(), end_reason = 'administrator'`);
    await app.query('COMMIT');
    expect(await ask('SELECT what, who FROM audit.user_history WHERE user_id = $1 OFFSET 4', [story.bob])).toEqual([
      { what: 'sessions ended: 2', who: 'anna@example.com' },
    ]);
    expect(await ask(`SELECT whom, what FROM audit.actions_by('anna@example.com') OFFSET 3`)).toEqual([
      { whom: 'Bob', what: 'sessions ended: 2' },
    ]);
  });

  it('outlives the person, whose name it does not know any more', async () => {
    await owner.query('DELETE FROM keyturn.users WHERE id = $1', [story.bob]);
    expect(await ask('SELECT username, what FROM audit.user_history WHERE user_id = $1 OFFSET 3', [story.bob])).toEqual(
      [
        { username: null, what: 'disabled' },
        { username: null, what: 'erased' },
      ],
    );
  });

  it('says what a person did, whatever the case of the name', async () => {
    expect(await ask(`SELECT whom, what FROM audit.actions_by('ANNA@example.com')`)).toEqual([
      { whom: 'Bob', what: 'roles changed from none to admin' },
      { whom: 'Bob', what: 'roles changed from admin to none' },
      { whom: 'Bob', what: 'disabled' },
    ]);
  });

  it('says what a person did who was erased, by id', async () => {
    await owner.query('DELETE FROM keyturn.users WHERE id = $1', [story.anna]);
    expect(await ask('SELECT seq::integer FROM audit.actions_by($1)', [story.anna])).toEqual([
      { seq: 6 },
      { seq: 7 },
      { seq: 8 },
    ]);
  });

  it('says what a person did to keys', async () => {
    await app.query('BEGIN');
    await app.query(`SELECT set_config('keyturn.actor', $1, true)`, [story.bob]);
    await revokeFirst();
    await app.query('COMMIT');
    expect(await ask(`SELECT whom, what, reason FROM audit.actions_by('Bob') LIMIT 1`)).toEqual([
      { whom: `key ${story.kid}`, what: 'revoked', reason: 'leaked' },
    ]);
  });

  it('says nothing of somebody who is nobody', async () => {
    expect(await ask(`SELECT * FROM audit.actions_by('nobody')`)).toEqual([]);
  });
});

describe('the auditor', () => {
  it('sees no password hash, no sealed key and no refresh token, by whatever column', async () => {
    const rows = await ask(
      `SELECT table_name, column_name FROM information_schema.columns
       WHERE table_schema = 'audit' AND column_name ~ 'hash|sealed|secret|private' ORDER BY 1, 2`,
    );
    expect(rows).toEqual([
      { table_name: 'chain', column_name: 'hash' },
      { table_name: 'chain', column_name: 'prev_hash' },
      { table_name: 'checkpoints', column_name: 'hash' },
      { table_name: 'key_timeline', column_name: 'private_key_destroyed_at' },
      { table_name: 'signing_keys', column_name: 'private_key_destroyed_at' },
    ]);
  });
});
