import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { sqlFinding } from '../audit/story.js';
import {
  brokenLinks,
  foldedKeys,
  foldedUsers,
  history,
  keysAsTheyAre,
  usersAsTheyAre,
  type HistoryRow,
} from '../support/history.js';
import {
  checkViolation,
  insufficientPrivilege,
  invalidText,
  lockNotAvailable,
  refusal,
  serializationFailure,
} from '../support/refusal.js';
import { allKeys, bootstrapKey, day, hour, minute, newPair, publishKey } from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addSession, addUser } from '../support/users.js';

let database: TestDatabase;
let app: Client;
let owner: Client;
let superuser: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
beforeEach(async () => await database.reset());
afterAll(async () => await database.drop());

const events = async (): Promise<string[]> => (await history(app)).map((row) => row.said.event);

async function newest(): Promise<HistoryRow['said']> {
  const row = (await history(app)).at(-1);
  if (row === undefined) throw new Error('there is no history');
  return row.said;
}

/** In one transaction, as the server changes things: with an actor, a reason and a request id of its own. */
async function inChange(
  db: Client,
  claims: Readonly<Record<string, string>>,
  work: () => Promise<unknown>,
): Promise<void> {
  await db.query('BEGIN');
  try {
    for (const [name, value] of Object.entries(claims)) {
      await db.query('SELECT set_config($1, $2, true)', [`keyturn.${name}`, value]);
    }
    await work();
    await db.query('COMMIT');
  } catch (error) {
    await db.query('ROLLBACK');
    throw error;
  }
}

describe('history', () => {
  it.each([
    `UPDATE keyturn.audit_log SET entry = entry`,
    'DELETE FROM keyturn.audit_log',
    'TRUNCATE keyturn.audit_log',
    `INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
       SELECT seq + 1, hash, entry, encode(sha256(convert_to(hash || entry, 'UTF8')), 'hex') FROM keyturn.audit_log`,
  ])('is written by nobody’s hand: %s', async (sql) => {
    await bootstrapKey(app);
    const answers = [app, owner, superuser].map(async (client) => await refusal(client.query(sql)));
    expect(await Promise.all(answers)).toEqual(answers.map(() => insufficientPrivilege));
  });

  it('cannot be appended to through its own function', async () => {
    const appended = `SELECT keyturn.append_history('revoked', 1, '1-AAAAAAAA', NULL, 'because', NULL, NULL)`;
    const answers = [app, owner, superuser].map(async (client) => await refusal(client.query(appended)));
    expect(await Promise.all(answers)).toEqual(answers.map(() => insufficientPrivilege));
  });

  it('is a chain without gaps that anybody with SHA-256 can check', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await app.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`,
    );
    await addUser(app, { username: 'größe@example.com' });
    const rows = await history(app);
    expect([rows.length, brokenLinks(rows)]).toEqual([6, []]);
  });

  it('names each event of a key', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await app.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`,
    );
    await app.query('UPDATE keyturn.signing_keys SET private_key_destroyed_at = now() WHERE version = 1');
    await app.query(`UPDATE keyturn.signing_key_secrets SET kek_id = 'new'`);
    expect(await events()).toEqual([
      'bootstrapped',
      'published',
      'scheduled',
      'revoked',
      'taken_over_by_emergency',
      'private_half_destroyed',
      'resealed',
    ]);
  });

  it('names each event of a user', async () => {
    const { id } = await addUser(app);
    for (const assignment of [
      `roles = '{admin}'`,
      'disabled_at = now()',
      'disabled_at = NULL',
      'reset_at = now()',
      `roles = '{}', disabled_at = now()`,
    ]) {
      await app.query(`UPDATE keyturn.users SET ${assignment} WHERE id = $1`, [id]);
    }
    await owner.query('DELETE FROM keyturn.users');
    expect(await events()).toEqual([
      'user_created',
      'user_roles_changed',
      'user_disabled',
      'user_enabled',
      'user_reset',
      'user_changed',
      'user_erased',
    ]);
  });

  it.each(['app', 'owner', 'superuser'] as const)(
    'says that sessions were ended by the hand of %s: whose, how many and why',
    async (hand) => {
      const [{ id: anna }, { id: bob }] = [await addUser(app), await addUser(app)];
      for (const id of [anna, anna, bob]) await addSession(app, id);
      const before = (await history(app)).length;
      await inChange({ app, owner, superuser }[hand], { reason: 'stolen laptop' }, () =>
        ({ app, owner, superuser })[hand].query('UPDATE keyturn.sessions SET ended_at = now()'),
      );
      const rows = (await history(app)).slice(before);
      const said = (subject: string, sessions: number) => [
        'user_sessions_ended',
        subject,
        'stolen laptop',
        { sessions },
      ];
      expect(rows).toHaveLength(2);
      expect(rows.map((row) => [row.said.event, row.said.subject, row.said.reason, row.said.new])).toEqual(
        expect.arrayContaining([said(anna, 2), said(bob, 1)]),
      );
      expect(rows[0]?.said.session_user).toBe(
        { app: 'keyturn_app', owner: 'keyturn_migrator', superuser: 'postgres' }[hand],
      );
      expect([foldedUsers(await history(app)), brokenLinks(await history(app))]).toEqual([
        await usersAsTheyAre(app),
        [],
      ]);
      expect(await sqlFinding(superuser)).toBeUndefined();
    },
  );

  it('says nothing of the end of a session that was undone', async () => {
    await addSession(app, (await addUser(app)).id);
    await app.query('BEGIN');
    await app.query('UPDATE keyturn.sessions SET ended_at = now()');
    await app.query('ROLLBACK');
    expect(await events()).toEqual(['user_created']);
  });

  it.each(['logout', 'logout_all', 'password_changed', 'password_reset', 'refresh_token_reused'])(
    'says nothing of a session, and is not waited for, that ended by %s',
    async (reason) => {
      await addSession(app, (await addUser(app)).id);
      const holder = await holdLock();
      await (await impatient()).query('UPDATE keyturn.sessions SET end_reason = $1', [reason]);
      await holder.query('ROLLBACK');
      const { rows } = await app.query('SELECT ended_at, end_reason FROM keyturn.sessions');
      expect([rows, await events()]).toEqual([[{ ended_at: expect.any(Date), end_reason: reason }], ['user_created']]);
    },
  );

  it.each(['administrator', 'by_hand', 'disabled'])(
    'is in time to be waited for: %s alone, without ended_at, ends no session',
    async (reason) => {
      await addSession(app, (await addUser(app)).id);
      expect(await refusal(app.query('UPDATE keyturn.sessions SET end_reason = $1', [reason]))).toBe(checkViolation);
    },
  );

  it('says what was and what is', async () => {
    const { id } = await addUser(app, { roles: ['auditor'] });
    await app.query(`UPDATE keyturn.users SET roles = '{admin}'`);
    expect(await newest()).toMatchObject({
      subject: id,
      old: { roles: ['auditor'], ver: 1 },
      new: { roles: ['admin'], ver: 2 },
    });
  });

  it('says of a revocation why', async () => {
    await bootstrapKey(app);
    await app.query(`UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'found in a log'`);
    expect(await newest()).toMatchObject({ event: 'revoked', version: 1, reason: 'found in a log' });
  });

  it('says who claims to have asked, why, and by which request', async () => {
    const actor = randomUUID();
    await inChange(app, { actor, reason: 'joins the team', request_id: 'req-7' }, async () => await addUser(app));
    expect(await newest()).toMatchObject({ actor, reason: 'joins the team', request_id: 'req-7' });
  });

  it('does not lay a change at the door of the transaction before', async () => {
    await inChange(app, { actor: randomUUID(), reason: 'joins', request_id: 'req-7' }, async () => await addUser(app));
    await addUser(app);
    expect(await newest()).toMatchObject({ actor: null, reason: null, request_id: null });
  });

  it('says whose session it was, whatever role it had taken on', async () => {
    await addUser(owner);
    expect(await newest()).toMatchObject({ session_user: 'keyturn_migrator', application_name: 'keyturn test' });
  });

  it('says the instant of the change, one for all of a transaction', async () => {
    await inChange(app, {}, async () => {
      await addUser(app);
      await addUser(app);
    });
    const rows = await history(app);
    expect(new Set(rows.map((row) => row.said.at)).size).toBe(1);
  });

  it('writes its instants the same in a session of another time zone and style', async () => {
    await superuser.query(`SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601'`);
    await bootstrapKey(superuser);
    await superuser.query('RESET ALL');
    expect(foldedKeys(await history(app))).toEqual(await keysAsTheyAre(app));
  });

  it('writes nothing where nothing changed', async () => {
    await bootstrapKey(app);
    await addUser(app);
    await app.query('UPDATE keyturn.signing_keys SET expires_at = expires_at');
    await app.query('UPDATE keyturn.users SET roles = roles');
    expect(await events()).toEqual(['bootstrapped', 'user_created']);
  });

  it('holds no name of a user', async () => {
    const { id } = await addUser(app, { username: 'anna@example.com' });
    await app.query(`UPDATE keyturn.users SET username = 'berta@example.com', roles = '{admin}' WHERE id = $1`, [id]);
    const text = (await history(app)).map((row) => row.entry).join('\n');
    expect(text).not.toMatch(/anna|berta/);
  });

  it('holds nothing sealed', async () => {
    await bootstrapKey(app);
    await app.query(`UPDATE keyturn.signing_key_secrets SET kek_id = 'new', sealed = '\\xc0ffee'`);
    expect((await newest()).new).toEqual({ kek_id: 'new' });
  });

  it('makes nothing known of a change that was rolled back', async () => {
    await app.query('BEGIN');
    await bootstrapKey(app);
    await app.query('ROLLBACK');
    await addUser(app);
    expect((await history(app)).map((row) => [row.seq, row.said.event])).toEqual([[1, 'user_created']]);
  });

  it('folds to the keys as they are', async () => {
    const pair = await newPair();
    await bootstrapKey(app, { pair });
    await publishKey(app, { pair, renewedFrom: 1 });
    await publishKey(app, { activatesIn: 60 * day });
    await app.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`,
    );
    await app.query('UPDATE keyturn.signing_keys SET private_key_destroyed_at = now() WHERE version < 3');
    expect(foldedKeys(await history(app))).toEqual(await keysAsTheyAre(app));
  });

  it('folds to the users as they are', async () => {
    for (let index = 0; index < 3; index += 1) await addUser(app, { roles: ['auditor'] });
    await app.query(`UPDATE keyturn.users SET roles = '{admin}', disabled_at = keyturn.clock()`);
    await owner.query('DELETE FROM keyturn.users WHERE id = (SELECT min(id::text)::uuid FROM keyturn.users)');
    expect(foldedUsers(await history(app))).toEqual(await usersAsTheyAre(app));
  });

  it('folds to the keys as they are after a statement whose windows had to be mended', async () => {
    await bootstrapKey(app);
    const { publicJwk, thumbprint } = await newPair();
    // Ends the one a day before the other begins, in one statement: the database closes the gap.
    await app.query(
      `WITH predecessor AS (
         UPDATE keyturn.signing_keys SET retires_at = keyturn.begin_change() + interval '29 days',
           expires_at = keyturn.begin_change() + interval '29 days' + verify_tail
       )
       INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, activation, public_jwk, thumbprint,
         activates_at, published_at, lead, max_token_ttl, verify_tail)
       SELECT 2, '2-' || left($1, 8), algorithm, true, 'generated', 'scheduled', $2, $1,
         keyturn.begin_change() + interval '30 days', now(), lead, max_token_ttl, verify_tail
       FROM keyturn.signing_keys`,
      [thumbprint, JSON.stringify(publicJwk)],
    );
    expect(foldedKeys(await history(app))).toEqual(await keysAsTheyAre(app));
  });

  it('shows that somebody changed a key with the triggers off', async () => {
    await bootstrapKey(app);
    await superuser.query(`SET session_replication_role = replica`);
    await superuser.query(`UPDATE keyturn.signing_keys SET lead = '0'`);
    await superuser.query('RESET session_replication_role');
    expect(foldedKeys(await history(app))).not.toEqual(await keysAsTheyAre(app));
  });
});

describe('a change and its event', () => {
  it.each(['users', 'signing_keys'])('are one: without the event, nothing changes in %s', async (table) => {
    await bootstrapKey(app);
    await publishKey(app);
    await addUser(app);
    const rowsOf = async () => (await app.query(`SELECT * FROM keyturn.${table}`)).rows;
    const before = await rowsOf();
    const change =
      table === 'users'
        ? `UPDATE keyturn.users SET roles = '{admin}'`
        : `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`;
    const attempt = inChange(app, { actor: 'not a user' }, async () => await app.query(change));
    expect([await refusal(attempt), await rowsOf()]).toEqual([invalidText, before]);
  });
});

/** Who changes something, and is not done yet. */
const holdLock = async (): Promise<Client> => {
  const holder = await database.connect('app');
  await holder.query('BEGIN');
  await holder.query('SELECT keyturn.begin_change()');
  return holder;
};

/** Who does not wait for a lock. */
const impatient = async (): Promise<Client> => {
  const client = await database.connect('app');
  await client.query(`SET lock_timeout = '20ms'`);
  return client;
};

describe('the lock of every change', () => {
  it.each([
    // What a login may write: a better hash of the same password.
    `UPDATE keyturn.users SET password_hash = '$argon2id$v=19$another'`,
  ])('is not taken by %s', async (sql) => {
    await addUser(app);
    const holder = await holdLock();
    const client = await impatient();
    const { rowCount } = await client.query(sql);
    await holder.query('ROLLBACK');
    expect(rowCount).toBe(1);
  });

  it.each([
    `UPDATE keyturn.users SET roles = '{admin}'`,
    `INSERT INTO keyturn.users (username) VALUES ('another')`,
    `UPDATE keyturn.sessions SET ended_at = now()`,
    `UPDATE keyturn.signing_keys SET retires_at = NULL`,
    `UPDATE keyturn.signing_key_secrets SET kek_id = 'new'`,
  ])('is taken by %s', async (sql) => {
    await addUser(app);
    const holder = await holdLock();
    const client = await impatient();
    const answer = await refusal(client.query(sql));
    await holder.query('ROLLBACK');
    expect(answer).toBe(lockNotAvailable);
  });

  it('is no guarantee alone: who decides by what is no more cannot write', async () => {
    await addUser(app);
    const stale = await database.connect('superuser');
    await stale.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await stale.query('SELECT FROM keyturn.users');
    await addUser(app);
    const answer = await refusal(addUser(stale));
    await stale.query('ROLLBACK');
    expect(answer).toBe(serializationFailure);
  });

  it('is given back, and the instant with it, by a savepoint rolled back', async () => {
    await app.query('BEGIN');
    await app.query('SAVEPOINT before');
    await bootstrapKey(app);
    await app.query('ROLLBACK TO before');
    await addUser(superuser);
    await addUser(app);
    await app.query('COMMIT');
    const rows = await history(app);
    expect([rows.length, brokenLinks(rows)]).toEqual([2, []]);
  });
});

describe('twenty connections at once', () => {
  const connections = 20;

  it('leave one chain without gap, fork or deadlock, and keys and users as it says', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    const { rows: users } = await app.query<{ id: string }>(
      `INSERT INTO keyturn.users (username) SELECT 'user' || n FROM generate_series(1, 5) n RETURNING id`,
    );
    const ids = users.map((row) => row.id);
    const clients = await Promise.all(
      Array.from({ length: connections }, async (_, index) => await database.connect(index % 2 ? 'superuser' : 'app')),
    );

    const outcomes = await Promise.allSettled(
      clients.map(async (client, index) => {
        // Twenty wait for one lock: on a busy machine the last of them longer than a server would let them.
        await client.query(`SET statement_timeout = '60s'; SET lock_timeout = '60s'`);
        await client.query(`UPDATE keyturn.users SET roles = ARRAY['role' || $1::text] WHERE id = ANY ($2)`, [
          index,
          index % 3 ? ids : ids.toReversed(),
        ]);
        await client.query(
          `UPDATE keyturn.signing_keys SET activates_at = activates_at + interval '1 minute' WHERE activates_at > keyturn.clock()`,
        );
        await client.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE id = $1`, [
          ids[index % ids.length],
        ]);
      }),
    );

    const rows = await history(app);
    expect({
      refused: outcomes.filter((outcome) => outcome.status === 'rejected'),
      broken: brokenLinks(rows),
      keys: foldedKeys(rows),
      users: foldedUsers(rows),
      rolesChanged: rows.filter((row) => row.said.event === 'user_roles_changed').length,
    }).toEqual({
      refused: [],
      broken: [],
      keys: await keysAsTheyAre(app),
      users: await usersAsTheyAre(app),
      rolesChanged: connections * ids.length,
    });
  });

  it('that all want to publish version 2 publish one', async () => {
    await bootstrapKey(app);
    const clients = await Promise.all(Array.from({ length: connections }, async () => await database.connect('app')));
    const outcomes = await Promise.allSettled(clients.map(async (client) => await publishKey(client, { version: 2 })));
    const published = outcomes.filter((outcome) => outcome.status === 'fulfilled').length;
    expect([published, (await allKeys(app)).map((key) => key.version)]).toEqual([1, [1, 2]]);
  });

  it('that all revoke the same key revoke it once', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await database.moveClock(hour + minute);
    const clients = await Promise.all(Array.from({ length: connections }, async () => await database.connect('app')));
    await Promise.allSettled(
      clients.map(
        async (client) =>
          await client.query(
            `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1 AND revoked_at IS NULL`,
          ),
      ),
    );
    expect((await events()).slice(3)).toEqual(['revoked', 'taken_over_by_emergency']);
  });
});
